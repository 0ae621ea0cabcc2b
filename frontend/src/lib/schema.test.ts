import { create, fromBinary, isFieldSet, toBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { CpuSchema, CpuTimesSchema } from "../gen/sonde/v1/cpu_pb";
import { LiveFrameSchema } from "../gen/sonde/v1/live_pb";
import { LabelRole, MetricKind, Unit } from "../gen/sonde/v1/metric_pb";
import { SnapshotSchema } from "../gen/sonde/v1/snapshot_pb";
import { present, presentField } from "./presence";
import { conversionOf, displayUnitOf, fieldAt, helpOf, labelRoleOf, metricOf } from "./schema";

function overTheWire() {
  const sent = create(CpuSchema, { total: { userUs: 0n, systemUs: 7n }, load1: 0 });
  return fromBinary(CpuSchema, toBinary(CpuSchema, sent));
}

describe("presence", () => {
  it("keeps a zero that was sent", () => {
    const cpu = overTheWire();
    expect(present(cpu.total, "userUs")).toBe(0n);
    expect(present(cpu.total, "systemUs")).toBe(7n);
    expect(present(cpu, "load1")).toBe(0);
  });

  it("reads what was not sent as undefined, although the plain property says 0", () => {
    const cpu = overTheWire();
    expect(cpu.total?.idleUs).toBe(0n);
    expect(present(cpu.total, "idleUs")).toBeUndefined();
    expect(present(cpu, "load5")).toBeUndefined();
    expect(present(undefined, "toString" as never)).toBeUndefined();
  });

  it("agrees with the runtime's own has-check", () => {
    const cpu = overTheWire();
    for (const field of CpuTimesSchema.fields) {
      const value = cpu.total && presentField(cpu.total, field);
      expect(value !== undefined).toBe(cpu.total !== undefined && isFieldSet(cpu.total, field));
    }
  });

  it("tells an absent section from an empty one", () => {
    const wire = toBinary(SnapshotSchema, create(SnapshotSchema, { cpu: {} }));
    const snapshot = fromBinary(SnapshotSchema, wire);
    expect(snapshot.cpu).toBeDefined();
    expect(snapshot.memory).toBeUndefined();
  });

  it("reads a oneof frame", () => {
    const wire = toBinary(
      LiveFrameSchema,
      create(LiveFrameSchema, { frame: { case: "durable", value: { sequence: 3n } } }),
    );
    const { frame } = fromBinary(LiveFrameSchema, wire);
    expect(frame.case).toBe("durable");
    expect(frame.case === "durable" && present(frame.value, "sequence")).toBe(3n);
    expect(frame.case === "durable" && present(frame.value, "hostId")).toBeUndefined();
  });
});

describe("metric options", () => {
  it("gives kind, unit and help of a field", () => {
    const field = fieldAt("cpu.cores.iowait_us");
    expect(field && metricOf(field)).toEqual({
      kind: MetricKind.COUNTER,
      unit: Unit.MICROSECONDS,
      help: "Idle time with block I/O outstanding; may go backwards",
    });
    expect(helpOf("memory.total_bytes")).toBe("Usable memory");
    expect(helpOf("memory.no_such_field")).toBe("");
  });

  it("marks labels, and generations among them", () => {
    const role = (path: string) => {
      const field = fieldAt(path);
      return field && labelRoleOf(field);
    };
    expect(role("disks.devices.device")).toBe(LabelRole.NAME);
    expect(role("disks.devices.diskseq")).toBe(LabelRole.GENERATION);
    expect(role("disks.devices.reads")).toBe(LabelRole.UNSPECIFIED);
  });

  it("derives what is shown: a rate of time is a ratio, of bytes bytes per second", () => {
    expect(displayUnitOf("cpu.total.user_us")).toBe("ratio");
    expect(displayUnitOf("disks.devices.read_bytes")).toBe("bytes_per_second");
    expect(displayUnitOf("memory.free_bytes")).toBe("bytes");
    expect(displayUnitOf("block_io.devices.operations.device_latency_ns")).toBe("seconds");
    expect(conversionOf({ kind: MetricKind.COUNTER, unit: Unit.MICROSECONDS, help: "" }).factor).toBe(1e-6);
  });

  it("describes every number of the Snapshot: no metric field without unit and help", () => {
    const seen = new Set<string>();
    const walk = (schema: typeof SnapshotSchema | (typeof SnapshotSchema.fields)[number]["message"], path: string) => {
      if (!schema || seen.has(schema.typeName)) return;
      seen.add(schema.typeName);
      for (const field of schema.fields) {
        const info = metricOf(field);
        if (info) {
          expect(info.unit, `${path}${field.name}`).not.toBe(Unit.UNSPECIFIED);
          expect(info.help, `${path}${field.name}`).not.toBe("");
        } else if (field.message) walk(field.message, `${path}${field.name}.`);
      }
    };
    walk(SnapshotSchema, "");
    expect(seen.size).toBeGreaterThan(12);
  });
});
