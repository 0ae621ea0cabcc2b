import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { Host_Status, HostSchema } from "../gen/sonde/v1/query_pb";
import { hostFromJson, hostFromProto } from "./hostInfo";

describe("a host", () => {
  it("is the same from both wires", () => {
    const proto = create(HostSchema, {
      hostId: "6f9c",
      hostname: "web-1",
      status: Host_Status.LIVE,
      intervalMs: 500,
      lastSeen: { seconds: 1763700000n, nanos: 500_000_000 },
      clockSkewMs: -40n,
      facts: { kernel: "6.1.0", cpus: 8, memoryBytes: 17179869184n },
      summary: { cpuBusyRatio: 0, memoryUsedRatio: 0.5 },
    });
    const overTheWire = fromBinary(HostSchema, toBinary(HostSchema, proto));
    const json = {
      host_id: "6f9c",
      hostname: "web-1",
      status: "live",
      interval_ms: 500,
      last_seen: "2025-11-21T04:40:00.500Z",
      clock_skew_ms: -40,
      facts: { kernel: "6.1.0", cpus: 8, memory_bytes: 17179869184 },
      summary: { cpu_busy_ratio: 0, memory_used_ratio: 0.5 },
    };
    expect(hostFromJson(json)).toEqual(hostFromProto(overTheWire));
    expect(hostFromJson(json)?.summary).toEqual({ cpuBusy: 0, memoryUsed: 0.5 });
  });

  it("survives what a newer or broken backend may send", () => {
    expect(hostFromJson(null)).toBeUndefined();
    expect(hostFromJson([])).toBeUndefined();
    expect(hostFromJson({ host_id: "x" })).toBeUndefined();
    const odd = hostFromJson({ hostname: "a", status: "hibernating", summary: 5, facts: null, last_seen: "never" });
    expect(odd).toMatchObject({ hostname: "a", status: "unknown", lastSeenMs: undefined, summary: {} });
    expect(hostFromJson({ hostname: "a", interval_ms: "2000", summary: { load1: "x" } })).toMatchObject({
      intervalMs: 2000,
      summary: {},
    });
  });
});
