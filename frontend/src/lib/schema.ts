import { type DescField, type DescMessage, getOption } from "@bufbuild/protobuf";
import { type LabelRole, label, MetricKind, metric, Unit } from "../gen/sonde/v1/metric_pb";
import { SnapshotSchema } from "../gen/sonde/v1/snapshot_pb";

// What the schema says about its own fields. The dashboard derives from it how to take a value, in which unit to show
// it and which words to put beside it, so that a new field of a section needs no code here.

export interface MetricInfo {
  kind: MetricKind;
  unit: Unit;
  help: string;
}

export function metricOf(field: DescField): MetricInfo | undefined {
  const option = getOption(field, metric);
  if (option.kind === MetricKind.UNSPECIFIED) return undefined;
  return { kind: option.kind, unit: option.unit, help: option.help };
}

export function labelRoleOf(field: DescField): LabelRole {
  return getOption(field, label);
}

/** What a chart draws: the unit after rates were taken and times brought to seconds. */
export type DisplayUnit =
  | "ratio"
  | "count"
  | "bytes"
  | "seconds"
  | "hertz"
  | "celsius"
  | "joules"
  | "watts"
  | "volts"
  | "per_second"
  | "bytes_per_second";

export interface Conversion {
  unit: DisplayUnit;
  /** Factor from the field's number (or its difference per second) to `unit`. */
  factor: number;
}

const GAUGE: Record<Unit, Conversion> = {
  [Unit.UNSPECIFIED]: { unit: "count", factor: 1 },
  [Unit.COUNT]: { unit: "count", factor: 1 },
  [Unit.BYTES]: { unit: "bytes", factor: 1 },
  [Unit.SECONDS]: { unit: "seconds", factor: 1 },
  [Unit.MILLISECONDS]: { unit: "seconds", factor: 1e-3 },
  [Unit.MICROSECONDS]: { unit: "seconds", factor: 1e-6 },
  [Unit.NANOSECONDS]: { unit: "seconds", factor: 1e-9 },
  [Unit.RATIO]: { unit: "ratio", factor: 1 },
  [Unit.HERTZ]: { unit: "hertz", factor: 1 },
  [Unit.BYTES_PER_SECOND]: { unit: "bytes_per_second", factor: 1 },
  [Unit.COUNT_PER_SECOND]: { unit: "per_second", factor: 1 },
  [Unit.CELSIUS]: { unit: "celsius", factor: 1 },
  [Unit.MICROJOULES]: { unit: "joules", factor: 1e-6 },
  [Unit.WATTS]: { unit: "watts", factor: 1 },
  [Unit.VOLTS]: { unit: "volts", factor: 1 },
};

// A rate of time is a ratio (seconds spent per second), of energy a power.
const RATE_UNIT: Partial<Record<DisplayUnit, DisplayUnit>> = {
  count: "per_second",
  bytes: "bytes_per_second",
  seconds: "ratio",
  joules: "watts",
};

export function conversionOf(info: MetricInfo): Conversion {
  const gauge = GAUGE[info.unit] ?? GAUGE[Unit.UNSPECIFIED];
  if (info.kind !== MetricKind.COUNTER) return gauge;
  return { unit: RATE_UNIT[gauge.unit] ?? gauge.unit, factor: gauge.factor };
}

/** Finds a field of the Snapshot by its path of proto names, e.g. "cpu.cores.user_us". */
export function fieldAt(path: string): DescField | undefined {
  let message: DescMessage | undefined = SnapshotSchema;
  let field: DescField | undefined;
  for (const name of path.split(".")) {
    field = message?.fields.find((f) => f.name === name);
    if (field === undefined) return undefined;
    message =
      field.fieldKind === "message" || (field.fieldKind === "list" && field.listKind === "message")
        ? field.message
        : undefined;
  }
  return field;
}

/** The help line of a metric, "" where the path names none. */
export function helpOf(path: string): string {
  const field = fieldAt(path);
  return (field && metricOf(field)?.help) ?? "";
}

export function displayUnitOf(path: string): DisplayUnit {
  const field = fieldAt(path);
  const info = field && metricOf(field);
  return info ? conversionOf(info).unit : "count";
}
