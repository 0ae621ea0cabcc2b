import { create } from "zustand";

// Who is logged in. The backend's HttpOnly cookie is what carries the session over a reload; the token is kept beside
// it, for this tab only, so that the dashboard also works where a proxy drops cookies. It is never put in a URL.

const KEY = "sonde.token";
// Says that this browser logged in once, so that a first visit goes to the login page without asking in vain.
const HINT = "sonde.session";

interface Session {
  token: string | undefined;
  /** "unknown" until the backend answers: whether the cookie still holds cannot be seen from here. */
  status: "unknown" | "in" | "out";
}

function stored(): string | undefined {
  try {
    return sessionStorage.getItem(KEY) ?? undefined;
  } catch {
    return undefined;
  }
}

function hinted(): boolean {
  try {
    return localStorage.getItem(HINT) !== null;
  } catch {
    return true;
  }
}

export const useSession = create<Session>(() => {
  const token = stored();
  return { token, status: token !== undefined || hinted() ? "unknown" : "out" };
});

export function signedIn(token: string | undefined): void {
  useSession.setState({ token, status: "in" });
  try {
    if (token) sessionStorage.setItem(KEY, token);
    localStorage.setItem(HINT, "1");
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
    localStorage.removeItem(HINT);
  } catch {
    // Nothing was stored then.
  }
}
