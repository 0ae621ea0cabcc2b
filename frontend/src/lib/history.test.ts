import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { Histogram_Scheme, State_Code } from "../gen/sonde/v1/metric_pb";
import { SnapshotSchema } from "../gen/sonde/v1/snapshot_pb";
import { column, History } from "./history";

const ONE = new Uint8Array([1]);
const TWO = new Uint8Array([2]);

type SnapshotInit = Exclude<MessageInitShape<typeof SnapshotSchema>, { $typeName: string }>;

/** A snapshot as it comes over the wire, at second `t` of the host. */
function snap(t: number, init: SnapshotInit = {}) {
  const message = create(SnapshotSchema, {
    bootId: ONE,
    instance: ONE,
    sequence: BigInt(t),
    intervalMs: 1000,
    boottimeUs: BigInt(t) * 1_000_000n,
    timestamp: { seconds: BigInt(1000 + t), nanos: 0 },
    ...init,
  });
  return fromBinary(SnapshotSchema, toBinary(SnapshotSchema, message));
}

const cpu = (userUs: bigint) => ({ cpu: { state: { code: State_Code.OK }, total: { userUs }, load1: 0.5 } });
const USER = "cpu.total.user_us";

function cells(history: History, name: string) {
  return history.table.cells(name, history.table.rows(0, 1e12));
}

describe("History", () => {
  it("takes gauges as they are and counters as rates in base units", () => {
    const history = new History();
    history.add(snap(1, cpu(1_000_000n)), 0);
    history.add(snap(2, cpu(1_250_000n)), 0);
    expect(cells(history, "cpu.load1")).toEqual([0.5, 0.5]);
    expect(cells(history, USER)).toEqual([null, 0.25]);
    expect(history.latest(USER)).toBe(0.25);
  });

  it("breaks the line where sequences are missing, and still takes the average over a short gap", () => {
    const history = new History();
    for (const [t, us] of [
      [1, 0n],
      [2, 125_000n],
      [5, 500_000n],
    ] as const)
      history.add(snap(t, cpu(us)), 0);
    expect(history.table.times(history.table.rows(0, 1e12))).toEqual([1001, 1002, 1003.5, 1005]);
    expect(cells(history, USER)).toEqual([null, 0.125, null, 0.125]);
    expect(history.missing).toBe(2);
  });

  it("takes no rate over a long gap", () => {
    const history = new History();
    history.add(snap(1, cpu(0n)), 0);
    history.add(snap(2, cpu(125_000n)), 0);
    history.add(snap(60, cpu(900_000n)), 0);
    expect(cells(history, USER)).toEqual([null, 0.125, null, null]);
  });

  it("treats a new instance as a new beginning, even where its counters are larger", () => {
    const history = new History();
    history.add(snap(1, cpu(0n)), 0);
    history.add(snap(2, cpu(125_000n)), 0);
    history.add(snap(3, { ...cpu(900_000n), instance: TWO, sequence: 1n }), 0);
    history.add(snap(4, { ...cpu(1_025_000n), instance: TWO, sequence: 2n }), 0);
    expect(cells(history, USER)).toEqual([null, 0.125, null, null, 0.125]);
  });

  it("never shows a negative rate after a reset", () => {
    const history = new History();
    history.add(snap(1, cpu(5_000_000n)), 0);
    history.add(snap(2, cpu(10n)), 0);
    history.add(snap(3, cpu(500_010n)), 0);
    expect(cells(history, USER)).toEqual([null, null, 0.5]);
  });

  it("ignores what it has already", () => {
    const history = new History();
    history.add(snap(2, cpu(0n)), 0);
    expect(history.add(snap(2, cpu(0n)), 0)).toBe(false);
    expect(history.add(snap(1, cpu(0n)), 0)).toBe(false);
    expect(history.table.length).toBe(1);
  });

  it("begins anew when the host's clock is set back", () => {
    const history = new History();
    history.add(snap(1, cpu(0n)), 0);
    history.add(snap(2, { ...cpu(10n), timestamp: { seconds: 10n, nanos: 0 } }), 0);
    expect(history.table.times(history.table.rows(0, 1e12))).toEqual([10]);
  });

  it("tells apart what is not due, what failed and what is not there", () => {
    const history = new History();
    history.add(snap(1, { ...cpu(0n), memory: { state: { code: State_Code.OK }, freeBytes: 7n } }), 0);
    history.add(snap(2, { ...cpu(0n), memory: { state: { code: State_Code.NOT_DUE } } }), 0);
    expect(cells(history, "memory.free_bytes")).toEqual([7, undefined]);
    expect(history.latest("memory.free_bytes")).toBe(7);
    expect(history.state("memory")?.code).toBe(State_Code.OK);
    expect(history.section("memory")?.freeBytes).toBe(7n);

    history.add(snap(3, { ...cpu(0n), memory: { state: { code: State_Code.FAILED, reason: "eio" } } }), 0);
    expect(cells(history, "memory.free_bytes")).toEqual([7, undefined, null]);
    expect(history.state("memory")?.reason).toBe("eio");
    expect(history.everRead("memory")).toBe(true);
    expect(history.everRead("vmstat")).toBe(false);

    history.add(snap(4, cpu(0n)), 0);
    expect(history.state("memory")).toBeUndefined();
    expect(history.section("memory")).toBeUndefined();
  });

  it("keeps the state of a source inside a section", () => {
    const history = new History();
    const detail = "this virtual machine exposes no PMU";
    history.add(
      snap(1, {
        perf: {
          state: { code: State_Code.OK },
          hardware: { state: { code: State_Code.UNAVAILABLE, reason: "no_pmu", detail } },
          software: { state: { code: State_Code.OK }, total: [{ event: "page-faults", count: 5n }] },
        },
      }),
      0,
    );
    expect(history.state("perf.hardware")?.detail).toBe(detail);
    expect(history.instances("perf.software.total")).toEqual(["page-faults"]);
  });

  it("names series by their labels and starts anew with another generation", () => {
    const history = new History();
    const disks = (device: string, diskseq: bigint, reads: bigint) => ({
      disks: { state: { code: State_Code.OK }, devices: [{ device, diskseq, reads }] },
    });
    history.add(snap(1, disks("vda", 1n, 10n)), 0);
    history.add(snap(2, disks("vda", 1n, 15n)), 0);
    history.add(snap(3, disks("vda", 2n, 90n)), 0);
    history.add(snap(4, disks("vdb", 3n, 1n)), 0);
    expect(cells(history, column("disks.devices.reads", "vda"))).toEqual([null, 5, null, null]);
    expect(history.instances("disks.devices")).toEqual(["vda", "vdb"]);
    expect(history.isCurrent("disks.devices", "vda")).toBe(false);
    expect(history.isCurrent("disks.devices", "vdb")).toBe(true);
  });

  it("uses the moment a section was read for its rates", () => {
    const history = new History();
    const at = (us: bigint, value: bigint) => ({
      vmstat: { state: { code: State_Code.OK, collectedAtUs: us }, pageFaults: value },
    });
    history.add(snap(1, at(1_000_000n, 0n)), 0);
    history.add(snap(2, at(3_000_000n, 10n)), 0);
    expect(history.latest("vmstat.page_faults")).toBe(5);
  });

  it("turns histograms into what happened between two ticks", () => {
    const history = new History();
    const io = (count: bigint) => ({
      blockIo: {
        state: { code: State_Code.OK },
        devices: [
          {
            device: "vda",
            operations: [
              {
                operation: "read",
                deviceLatencyNs: {
                  scheme: Histogram_Scheme.LOG_LINEAR_4,
                  sum: count * 1000n,
                  indexes: [40],
                  counts: [count],
                },
              },
            ],
          },
        ],
      },
    });
    history.add(snap(1, io(3n)), 0);
    history.add(snap(2, io(10n)), 0);
    history.add(snap(3, io(2n)), 0);
    history.add(snap(4, io(6n)), 0);
    const heat = history.heatColumns("block_io.devices.operations.device_latency_ns", "vda", "read");
    expect(heat.map((c) => [c.from, c.to, c.buckets.total])).toEqual([
      [1001, 1002, 7],
      [1003, 1004, 4],
    ]);
    expect(history.instances("block_io.devices.operations", "vda")).toEqual(["read"]);
  });

  it("holds no more than it may", () => {
    const history = new History({ seconds: 60, rows: 1000 });
    for (let t = 1; t <= 500; t += 1) history.add(snap(t, cpu(BigInt(t))), 0);
    expect(history.table.length).toBeLessThanOrEqual(61);
  });
});
