// The life of the live connection as a pure function: (state, event, now) -> state and what to do. Nothing in here
// opens a socket or reads a clock, so that every way through it can be tested.

export type Phase = "idle" | "connecting" | "live" | "reconnecting" | "failed" | "unauthenticated";

export interface ConnectionState {
  phase: Phase;
  /** Live, but silent for longer than the hosts' intervals allow. */
  stale: boolean;
  /** Tries since it last worked. */
  attempts: number;
  /** reconnecting: when the next try is made. */
  retryAt: number | undefined;
  /** Why it failed for good. */
  failure: "offline" | "attempts" | undefined;
  /** When the try began, or the last frame came. */
  since: number;
  /** The shortest interval of the hosts whose snapshots must come; undefined when none needs to. */
  expectMs: number | undefined;
  /** A question over HTTP is under way: is the backend there, although nothing comes? */
  probing: boolean;
}

export type ConnectionEvent =
  | { type: "start" }
  | { type: "frame" }
  | { type: "closed"; code: number }
  | { type: "tick" }
  | { type: "retry" }
  | { type: "online" }
  | { type: "offline" }
  | { type: "expect"; intervalMs: number | undefined }
  | { type: "probed"; alive: boolean }
  | { type: "stop" };

/** open and close act on the socket; probe asks the REST side; login leaves for the login page. */
export type Action = "open" | "close" | "probe" | "login";

export interface Step {
  state: ConnectionState;
  actions: Action[];
}

export const CLOSE_UNAUTHENTICATED = 4401;
export const MAX_ATTEMPTS = 10;
export const CONNECT_TIMEOUT_MS = 10_000;
const PROBE_AFTER_MS = 30_000;

export const INITIAL: ConnectionState = {
  phase: "idle",
  stale: false,
  attempts: 0,
  retryAt: undefined,
  failure: undefined,
  since: 0,
  expectMs: undefined,
  probing: false,
};

/** 1, 2, 4, ... 30 s, up to a fifth longer by chance so that many browsers do not come back at one moment. */
export function backoffMs(attempt: number, random: number): number {
  return Math.round(Math.min(30_000, 1000 * 2 ** (attempt - 1)) * (1 + random / 5));
}

export function staleAfterMs(intervalMs: number): number {
  return Math.max(5000, 3 * intervalMs);
}

export function silentAfterMs(intervalMs: number): number {
  return 3 * staleAfterMs(intervalMs);
}

export function step(state: ConnectionState, event: ConnectionEvent, now: number, random = 0): Step {
  switch (event.type) {
    case "start":
      return state.phase === "idle" || state.phase === "unauthenticated" ? connect(INITIAL, now) : stay(state);
    case "stop":
      return { state: INITIAL, actions: state.phase === "idle" ? [] : ["close"] };
    case "retry":
      return state.phase === "failed" || state.phase === "reconnecting"
        ? connect({ ...state, attempts: 0 }, now)
        : stay(state);
    case "online":
      return state.phase === "failed" || state.phase === "reconnecting"
        ? connect({ ...state, attempts: 0 }, now)
        : stay(state);
    case "offline":
      return state.phase === "idle" || state.phase === "unauthenticated"
        ? stay(state)
        : {
            state: { ...state, phase: "failed", failure: "offline", stale: false, retryAt: undefined },
            actions: ["close"],
          };
    case "frame":
      return state.phase === "connecting" || state.phase === "live"
        ? stay({ ...state, phase: "live", stale: false, attempts: 0, since: now, probing: false })
        : stay(state);
    case "expect":
      return stay({ ...state, expectMs: event.intervalMs });
    case "closed":
      return closed(state, event.code, now, random);
    case "probed":
      return probed(state, event.alive, now, random);
    case "tick":
      return tick(state, now, random);
  }
}

function stay(state: ConnectionState): Step {
  return { state, actions: [] };
}

function connect(state: ConnectionState, now: number): Step {
  return {
    state: {
      ...state,
      phase: "connecting",
      stale: false,
      retryAt: undefined,
      failure: undefined,
      since: now,
      expectMs: undefined,
      probing: false,
    },
    actions: ["open"],
  };
}

function closed(state: ConnectionState, code: number, now: number, random: number): Step {
  if (state.phase !== "connecting" && state.phase !== "live") return stay(state);
  if (code === CLOSE_UNAUTHENTICATED) return { state: { ...INITIAL, phase: "unauthenticated" }, actions: ["login"] };
  return retryLater(state, now, random);
}

function retryLater(state: ConnectionState, now: number, random: number): Step {
  const attempts = state.attempts + 1;
  if (attempts > MAX_ATTEMPTS)
    return stay({ ...state, phase: "failed", failure: "attempts", stale: false, retryAt: undefined, attempts });
  return stay({ ...state, phase: "reconnecting", stale: false, attempts, retryAt: now + backoffMs(attempts, random) });
}

function giveUp(state: ConnectionState, now: number, random: number): Step {
  return { state: retryLater(state, now, random).state, actions: ["close"] };
}

function probed(state: ConnectionState, alive: boolean, now: number, random: number): Step {
  if (state.phase !== "live" || !state.probing) return stay(state);
  return alive ? stay({ ...state, probing: false, since: now }) : giveUp(state, now, random);
}

function tick(state: ConnectionState, now: number, random: number): Step {
  if (state.phase === "reconnecting" && state.retryAt !== undefined && now >= state.retryAt) return connect(state, now);
  const silence = now - state.since;
  if (state.phase === "connecting" && silence >= CONNECT_TIMEOUT_MS) return giveUp(state, now, random);
  if (state.phase !== "live") return stay(state);
  if (state.expectMs !== undefined) {
    if (silence >= silentAfterMs(state.expectMs)) return giveUp(state, now, random);
    const stale = silence >= staleAfterMs(state.expectMs);
    return stay(stale === state.stale ? state : { ...state, stale });
  }
  // No host owes us anything, so silence proves nothing: ask.
  if (!state.probing && silence >= PROBE_AFTER_MS)
    return { state: { ...state, stale: false, probing: true }, actions: ["probe"] };
  return stay(state.stale ? { ...state, stale: false } : state);
}
