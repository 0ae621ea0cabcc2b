import { create } from "zustand";

// Who is logged in. The backend's HttpOnly cookie is what carries the session over a reload; the token is kept beside
// it, for this tab only, so that the dashboard also works where a proxy drops cookies. It is never put in a URL.

const KEY = "sonde.token";

interface Session {
  token: string | undefined;
  /** "unknown" until the first answer of the backend: the cookie cannot be read from here. */
  status: "unknown" | "in" | "out";
}

function stored(): string | undefined {
  try {
    return sessionStorage.getItem(KEY) ?? undefined;
  } catch {
    return undefined;
  }
}

export const useSession = create<Session>(() => ({ token: stored(), status: "unknown" }));

export function signedIn(token: string | undefined): void {
  useSession.setState({ token, status: "in" });
  try {
    if (token) sessionStorage.setItem(KEY, token);
  } catch {
    // A browser that refuses storage keeps the token in memory.
  }
}

export function confirmed(): void {
  if (useSession.getState().status !== "in") useSession.setState({ status: "in" });
}

export function signedOut(): void {
  useSession.setState({ token: undefined, status: "out" });
  try {
    sessionStorage.removeItem(KEY);
  } catch {
    // Nothing was stored then.
  }
}
