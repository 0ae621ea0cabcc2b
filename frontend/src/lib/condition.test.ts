import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { State_Code, StateSchema } from "../gen/sonde/v1/metric_pb";
import { type Circumstances, conditionOf } from "./condition";

const state = (code: State_Code, detail?: string, reason?: string) => create(StateSchema, { code, detail, reason });
const when = (changes: Partial<Circumstances>): Circumstances => ({
  states: [state(State_Code.OK)],
  samples: 10,
  everRead: true,
  connection: { phase: "live" },
  status: "live",
  lastSeenMs: 0,
  nowMs: 180_000,
  ...changes,
});

describe("conditionOf", () => {
  it("says nothing where all is well", () => {
    expect(conditionOf(when({})).kind).toBe("ok");
    expect(conditionOf(when({ states: [state(State_Code.UNSPECIFIED)] })).kind).toBe("ok");
  });

  it("has different sentences for loading, no data, not sent and not measurable", () => {
    const titles = [
      conditionOf(when({ samples: 0 })),
      conditionOf(when({ samples: 0, connection: { phase: "connecting" } })),
      conditionOf(when({ samples: 0, status: "offline" })),
      conditionOf(when({ states: [undefined] })),
      conditionOf(when({ states: [state(State_Code.UNAVAILABLE)] })),
      conditionOf(when({ states: [state(State_Code.DENIED)] })),
      conditionOf(when({ states: [state(State_Code.DISABLED)] })),
    ].map((condition) => {
      expect(condition.kind).toBe("instead");
      expect(condition.detail).not.toBe("");
      return condition.title;
    });
    expect(new Set(titles).size).toBe(titles.length);
  });

  it("passes the agent's own words on", () => {
    const condition = conditionOf(
      when({ states: [state(State_Code.OK), state(State_Code.UNAVAILABLE, "This VM exposes no PMU.", "no_pmu")] }),
    );
    expect(condition).toMatchObject({ kind: "instead", detail: "This VM exposes no PMU.", reason: "no_pmu" });
  });

  it("says since when an offline host is silent", () => {
    expect(conditionOf(when({ samples: 0, status: "offline" })).detail).toContain("3 min ago");
  });

  it("keeps the charts under a warning when something failed or is degraded", () => {
    expect(conditionOf(when({ states: [state(State_Code.FAILED, "EIO")] }))).toMatchObject({
      kind: "warn",
      detail: "EIO",
    });
    expect(conditionOf(when({ states: [state(State_Code.DEGRADED)] })).kind).toBe("warn");
    expect(conditionOf(when({ states: [state(State_Code.FAILED, "EIO")], everRead: false })).kind).toBe("instead");
    const both = [state(State_Code.DEGRADED), state(State_Code.DENIED)];
    expect(conditionOf(when({ states: both })).cause).toBe("denied");
  });

  it("speaks of starting only at the start", () => {
    expect(conditionOf(when({ samples: 1, states: [state(State_Code.STARTING)] })).cause).toBe("starting");
    expect(conditionOf(when({ samples: 90, states: [state(State_Code.STARTING)] })).kind).toBe("ok");
  });
});
