import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ApiError, errorOf, getHost, listHosts, login } from "./rest";
import { signedIn, signedOut, useSession } from "./session";

function answer(status: number, body: unknown) {
  const fetch = vi.fn(async (_path: string, _init: RequestInit) => new Response(JSON.stringify(body), { status }));
  vi.stubGlobal("fetch", fetch);
  return fetch;
}

beforeEach(() => {
  signedOut();
  useSession.setState({ status: "unknown" });
});
afterEach(() => vi.unstubAllGlobals());

describe("errors", () => {
  it("are the backend's own sentences where it has some", () => {
    expect(errorOf(403, { error: { code: "denied", message: "Ask an administrator." } })).toMatchObject({
      code: "denied",
      message: "Ask an administrator.",
      status: 403,
    });
    expect(errorOf(502, "<html>").message).toContain("502");
    expect(errorOf(500, { error: {} }).code).toBe("http_500");
  });

  it("say so when nobody answers", async () => {
    vi.stubGlobal("fetch", () => Promise.reject(new TypeError("refused")));
    await expect(listHosts()).rejects.toMatchObject({ code: "network", status: 0 });
  });
});

describe("session", () => {
  it("begins with the token of a login, which later requests carry", async () => {
    const first = answer(200, { access_token: "t0k3n", token_type: "bearer", expires_in: 60 });
    await login("admin", "a b&c");
    expect(String(first.mock.calls[0]?.[1].body)).toContain("password=a+b%26c");
    expect(useSession.getState()).toMatchObject({ token: "t0k3n", status: "in" });
    const second = answer(200, { servers: [] });
    await listHosts();
    expect(new Headers(second.mock.calls[0]?.[1].headers).get("authorization")).toBe("Bearer t0k3n");
  });

  it("does not begin with a wrong password, and keeps an old one", async () => {
    answer(401, { error: { code: "unauthenticated", message: "Wrong user name or password." } });
    await expect(login("admin", "x")).rejects.toMatchObject({ message: "Wrong user name or password." });
    expect(useSession.getState().status).toBe("unknown");
  });

  it("ends with a 401 of anything else, not with other errors", async () => {
    signedIn("old");
    answer(503, {});
    await expect(listHosts()).rejects.toBeInstanceOf(ApiError);
    expect(useSession.getState().status).toBe("in");
    answer(401, {});
    await expect(listHosts()).rejects.toBeInstanceOf(ApiError);
    expect(useSession.getState()).toMatchObject({ token: undefined, status: "out" });
  });

  it("is confirmed by an answer to the cookie alone", async () => {
    answer(200, { servers: [{ hostname: "a" }, { nonsense: 1 }] });
    expect(await listHosts()).toHaveLength(1);
    expect(useSession.getState().status).toBe("in");
  });
});

it("escapes a hostname", async () => {
  const fetch = answer(200, { server: { hostname: "a/b" } });
  await getHost("a/b");
  expect(fetch.mock.calls[0]?.[0]).toBe("/api/servers/a%2Fb");
});
