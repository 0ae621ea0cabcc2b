import { type HostInfo, hostFromJson } from "./hostInfo";
import { confirmed, signedIn, signedOut, useSession } from "./session";
import { type StorageInfo, storageFromJson } from "./storage";

// The REST side: logging in and lists. The only other place that talks to the backend is live.ts.

export class ApiError extends Error {
  constructor(
    message: string,
    /** HTTP status; 0 when there was no answer at all. */
    readonly status: number,
    readonly code: string,
  ) {
    super(message);
  }
}

const TIMEOUT_MS = 10_000;

async function request(path: string, init: RequestInit = {}): Promise<unknown> {
  const headers = new Headers(init.headers);
  headers.set("accept", "application/json");
  const { token } = useSession.getState();
  if (token) headers.set("authorization", `Bearer ${token}`);
  let response: Response;
  try {
    response = await fetch(path, {
      ...init,
      headers,
      credentials: "same-origin",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  } catch {
    throw new ApiError(
      "The backend does not answer. Check that it runs and that this address reaches it.",
      0,
      "network",
    );
  }
  const body: unknown = await response.json().catch(() => undefined);
  if (response.ok) return body;
  throw errorOf(response.status, body);
}

/** The backend's own sentence where it sent one. */
export function errorOf(status: number, body: unknown): ApiError {
  const inner =
    typeof body === "object" && body !== null && "error" in body ? (body as { error: unknown }).error : undefined;
  const field = (key: string) => {
    const value = typeof inner === "object" && inner !== null ? (inner as Record<string, unknown>)[key] : undefined;
    return typeof value === "string" && value !== "" ? value : undefined;
  };
  const code = field("code") ?? (typeof inner === "string" ? inner : `http_${status}`);
  return new ApiError(field("message") ?? `The backend answered with status ${status}.`, status, code);
}

/** An authenticated request: its 401 means that the session is over. */
async function ask(path: string, init?: RequestInit): Promise<unknown> {
  try {
    const body = await request(path, init);
    confirmed();
    return body;
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) signedOut();
    throw error;
  }
}

export async function login(username: string, password: string): Promise<void> {
  const body = await request("/token", {
    method: "POST",
    body: new URLSearchParams({ username, password, grant_type: "password" }),
  });
  const token = typeof body === "object" && body !== null ? (body as Record<string, unknown>).access_token : undefined;
  signedIn(typeof token === "string" ? token : undefined);
}

export async function logout(): Promise<void> {
  try {
    await request("/api/logout", { method: "POST" });
  } finally {
    signedOut();
  }
}

export async function listHosts(): Promise<HostInfo[]> {
  const body = await ask("/api/servers");
  const list = typeof body === "object" && body !== null ? (body as Record<string, unknown>).servers : undefined;
  if (!Array.isArray(list)) return [];
  return list.map(hostFromJson).filter((host) => host !== undefined);
}

export async function getHost(hostname: string): Promise<HostInfo> {
  const body = await ask(`/api/servers/${encodeURIComponent(hostname)}`);
  const host = hostFromJson(
    typeof body === "object" && body !== null ? (body as Record<string, unknown>).server : body,
  );
  if (!host) throw new ApiError("The backend's answer about this host cannot be read.", 200, "malformed");
  return host;
}

export async function getStorage(): Promise<StorageInfo> {
  const storage = storageFromJson(await ask("/api/storage"));
  if (!storage) throw new ApiError("The backend's answer about its storage cannot be read.", 200, "malformed");
  return storage;
}
