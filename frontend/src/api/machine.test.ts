import { describe, expect, it } from "vitest";
import {
  backoffMs,
  CLOSE_UNAUTHENTICATED,
  type ConnectionEvent,
  type ConnectionState,
  INITIAL,
  MAX_ATTEMPTS,
  step,
} from "./machine";

/** Runs events at given times from a state, collecting what was to be done. */
function run(events: [number, ConnectionEvent][], from: ConnectionState = INITIAL) {
  let state = from;
  const actions: string[] = [];
  for (const [now, event] of events) {
    const next = step(state, event, now);
    state = next.state;
    actions.push(...next.actions);
  }
  return { state, actions };
}

const start: [number, ConnectionEvent] = [0, { type: "start" }];
const frame = (at: number): [number, ConnectionEvent] => [at, { type: "frame" }];
const tick = (at: number): [number, ConnectionEvent] => [at, { type: "tick" }];
const lost = (at: number): [number, ConnectionEvent] => [at, { type: "closed", code: 1006 }];
const expectEvery = (at: number, intervalMs?: number): [number, ConnectionEvent] => [
  at,
  { type: "expect", intervalMs },
];

describe("connection", () => {
  it("is live with the first frame, not with the open socket", () => {
    expect(run([start]).state.phase).toBe("connecting");
    expect(run([start, frame(10)]).state.phase).toBe("live");
    expect(run([start]).actions).toEqual(["open"]);
  });

  it("comes back after 1, 2, 4, ... 30 seconds and no sooner", () => {
    expect([1, 2, 3, 4, 5, 6, 9].map((n) => backoffMs(n, 0))).toEqual([1000, 2000, 4000, 8000, 16000, 30000, 30000]);
    expect(backoffMs(1, 0.999)).toBeLessThanOrEqual(1200);
    const waiting = run([start, frame(1), lost(1000)]);
    expect(waiting.state).toMatchObject({ phase: "reconnecting", retryAt: 2000, attempts: 1 });
    expect(run([tick(1999)], waiting.state).actions).toEqual([]);
    const again = run([tick(2000)], waiting.state);
    expect(again.actions).toEqual(["open"]);
    expect(again.state.phase).toBe("connecting");
  });

  it("forgets its failures once a frame came, and only then", () => {
    const second = run([start, lost(0), tick(1000), lost(1000)]);
    expect(second.state).toMatchObject({ attempts: 2, retryAt: 3000 });
    const healed = run([tick(3000), frame(3001), lost(4000)], second.state);
    expect(healed.state).toMatchObject({ attempts: 1, retryAt: 5000 });
  });

  it("fails after ten tries and starts over when asked to", () => {
    let state = run([start]).state;
    let now = 0;
    for (let i = 0; i <= MAX_ATTEMPTS; i += 1) {
      state = run([lost(now)], state).state;
      if (i < MAX_ATTEMPTS) {
        expect(state.phase).toBe("reconnecting");
        now = state.retryAt ?? 0;
        state = run([tick(now)], state).state;
      }
    }
    expect(state).toMatchObject({ phase: "failed", failure: "attempts" });
    expect(run([tick(now + 1e9)], state).actions).toEqual([]);
    const again = run([[now, { type: "retry" }]], state);
    expect(again.actions).toEqual(["open"]);
    expect(again.state).toMatchObject({ phase: "connecting", attempts: 0, failure: undefined });
  });

  it("does not wait for a try to time out for ever", () => {
    const { state, actions } = run([start, tick(9999), tick(10_000)]);
    expect(state.phase).toBe("reconnecting");
    expect(actions).toEqual(["open", "close"]);
  });

  it("can be told to try now", () => {
    const { actions } = run([start, lost(0), [10, { type: "retry" }]]);
    expect(actions).toEqual(["open", "open"]);
  });

  it("leaves for the login page on 4401 and does not reconnect", () => {
    const { state, actions } = run([start, [5, { type: "closed", code: CLOSE_UNAUTHENTICATED }], tick(1e6)]);
    expect(state.phase).toBe("unauthenticated");
    expect(actions).toEqual(["open", "login"]);
    expect(run([[1e6, { type: "start" }]], state).actions).toEqual(["open"]);
  });

  it("fails while the browser is offline and returns by itself", () => {
    const off = run([start, frame(1), [2, { type: "offline" }]]);
    expect(off.state).toMatchObject({ phase: "failed", failure: "offline" });
    expect(off.actions).toEqual(["open", "close"]);
    expect(run([lost(3)], off.state).state.phase).toBe("failed");
    expect(run([[4, { type: "online" }]], off.state).actions).toEqual(["open"]);
  });

  it("marks silence, then gives the connection up", () => {
    const live = run([start, frame(0), expectEvery(0, 1000)]).state;
    expect(run([tick(4999)], live).state.stale).toBe(false);
    expect(run([tick(5000)], live).state).toMatchObject({ phase: "live", stale: true });
    expect(run([tick(5000), frame(5500)], live).state.stale).toBe(false);
    const gone = run([tick(15_000)], live);
    expect(gone.actions).toEqual(["close"]);
    expect(gone.state.phase).toBe("reconnecting");
  });

  it("is as patient as the slowest agent needs", () => {
    const live = run([start, frame(0), expectEvery(0, 10_000)]).state;
    expect(run([tick(29_000)], live).state).toMatchObject({ phase: "live", stale: false });
    expect(run([tick(30_000)], live).state.stale).toBe(true);
    expect(run([tick(90_000)], live).state.phase).toBe("reconnecting");
  });

  it("asks instead of giving up when no host owes it anything", () => {
    const live = run([start, frame(0), expectEvery(0)]).state;
    expect(run([tick(20_000)], live).state).toMatchObject({ phase: "live", stale: false });
    const asked = run([tick(30_000), tick(31_000)], live);
    expect(asked.actions).toEqual(["probe"]);
    expect(run([[31_500, { type: "probed", alive: true }]], asked.state).state.phase).toBe("live");
    const dead = run([[31_500, { type: "probed", alive: false }]], asked.state);
    expect(dead.state.phase).toBe("reconnecting");
    expect(dead.actions).toEqual(["close"]);
  });

  it("stops", () => {
    expect(run([start, frame(1), [2, { type: "stop" }], lost(3), tick(1e6)])).toEqual({
      state: INITIAL,
      actions: ["open", "close"],
    });
  });
});
