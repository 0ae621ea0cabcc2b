import type { DescField, DescMessage, Message } from "@bufbuild/protobuf";
import { type Histogram, LabelRole, MetricKind, type State, State_Code, StateSchema } from "../gen/sonde/v1/metric_pb";
import { type Snapshot, SnapshotSchema } from "../gen/sonde/v1/snapshot_pb";
import { type Buckets, histogramDelta } from "./histogram";
import { present, presentField } from "./presence";
import { longestSpan, type Reading, rateOf } from "./rates";
import { conversionOf, labelRoleOf, metricOf } from "./schema";
import { TimeTable } from "./timeTable";

// What the browser knows of one host: snapshots in, columns out. Nothing here knows a section by name. The schema's
// options say what each field is; a counter becomes a rate, a gauge stays, a histogram becomes its difference. A column
// is named by the field's path and the labels above it: "cpu.total.user_us", "disks.devices.reads|vda",
// "block_io.devices.operations.device_latency_ns|vda|read".

interface ScalarPlan {
  field: DescField;
  path: string;
  rate: boolean;
  factor: number;
}

interface ChildPlan {
  field: DescField;
  path: string;
  list: boolean;
  plan: MessagePlan;
}

interface MessagePlan {
  name?: DescField;
  generation: DescField[];
  state?: DescField;
  scalars: ScalarPlan[];
  histograms: { field: DescField; path: string }[];
  children: ChildPlan[];
}

function compile(schema: DescMessage, prefix: string): MessagePlan {
  const plan: MessagePlan = { generation: [], scalars: [], histograms: [], children: [] };
  for (const field of schema.fields) {
    const path = prefix + field.name;
    const info = metricOf(field);
    if (info?.kind === MetricKind.HISTOGRAM) plan.histograms.push({ field, path });
    else if (info)
      plan.scalars.push({ field, path, rate: info.kind === MetricKind.COUNTER, factor: conversionOf(info).factor });
    else if (field.fieldKind === "message" && field.message.typeName === StateSchema.typeName) plan.state = field;
    else if (field.fieldKind === "message")
      plan.children.push({ field, path, list: false, plan: compile(field.message, `${path}.`) });
    else if (field.fieldKind === "list" && field.listKind === "message")
      plan.children.push({ field, path, list: true, plan: compile(field.message, `${path}.`) });
    const role = labelRoleOf(field);
    if (role === LabelRole.NAME) plan.name = field;
    if (role === LabelRole.GENERATION) plan.generation.push(field);
  }
  return plan;
}

const PLAN = compile(SnapshotSchema, "");

/** What happened to one distribution between two readings. */
export interface HeatColumn {
  /** Seconds: the interval (from, to] the counts belong to. */
  from: number;
  to: number;
  buckets: Buckets;
}

/** Name of a column: the path of fields, then the labels from the outside in. */
export function column(path: string, ...labels: (string | number)[]): string {
  return labels.length === 0 ? path : `${path}|${labels.join("|")}`;
}

export type SectionName =
  | "summary"
  | "cpu"
  | "memory"
  | "vmstat"
  | "disks"
  | "network"
  | "perf"
  | "blockIo"
  | "agent"
  | "custom";

/** Why the lines break before a sample. */
export type Break = "none" | "missing" | "restart" | "reboot";

export interface HistoryLimits {
  seconds: number;
  rows: number;
}

export const KEPT: HistoryLimits = { seconds: 15 * 60 + 30, rows: 10_000 };

export class History {
  readonly table: TimeTable;
  /** Goes up with every sample that was taken in. */
  version = 0;
  /** The newest snapshot, and the wall clock of this browser when it came. */
  newest: Snapshot | undefined;
  receivedAtMs = 0;
  intervalSeconds = 1;
  /** Samples that were missing since the page was opened: sequence numbers that never came. */
  missing = 0;

  private readonly heat = new Map<string, HeatColumn[]>();
  private readonly readings = new Map<string, Reading>();
  private readonly distributions = new Map<string, { at: number; generation: string; histogram: Histogram }>();
  private readonly seen = new Map<string, Map<string, number>>();
  private readonly states = new Map<string, State>();
  private readonly sections = new Map<SectionName, Message>();
  private lastAt = 0;

  constructor(private readonly limits: HistoryLimits = KEPT) {
    this.table = new TimeTable(limits.seconds, limits.rows);
  }

  /** Takes a snapshot in; false when it is older than what is there already. */
  add(snapshot: Snapshot, receivedAtMs: number): boolean {
    const stamp = snapshot.timestamp;
    if (!stamp) return false;
    const time = Number(stamp.seconds) + stamp.nanos / 1e9;
    const why = this.breakBefore(snapshot);
    if (why === undefined) return false;
    const last = this.table.lastTime;
    if (last !== undefined && time <= last) this.forgetTable();
    else if (last !== undefined && (why !== "none" || time - last > longestSpan(this.intervalSeconds)))
      this.table.pushGap((last + time) / 2);
    if (why === "restart" || why === "reboot") this.forgetReadings();

    this.newest = snapshot;
    this.receivedAtMs = receivedAtMs;
    this.intervalSeconds = (present(snapshot, "intervalMs") ?? 1000) / 1000;
    const tick = new Tick(this.table.lastTime, time, Number(present(snapshot, "boottimeUs") ?? 0n) / 1e6);
    for (const child of PLAN.children) {
      const section = presentField(snapshot, child.field) as Message | undefined;
      if (section === undefined) {
        this.states.delete(child.path);
        this.sections.delete(child.field.localName as SectionName);
        continue;
      }
      if (this.walk(child.plan, section, child.path, [], "", tick))
        this.sections.set(child.field.localName as SectionName, section);
    }
    this.table.push(time, tick.row, (name) => tick.notDue.some((prefix) => name.startsWith(prefix)));
    this.trim(time);
    this.lastAt = time;
    this.version += 1;
    return true;
  }

  /** The newest state of a section or source by its path ("perf.hardware"), ticks at which it was not due left out. */
  state(path: string): State | undefined {
    return this.states.get(path);
  }

  /** The newest reading of a section that was due. */
  section<K extends SectionName>(name: K): Snapshot[K] {
    return this.sections.get(name) as Snapshot[K];
  }

  /** Whether any number of this section has been read since the page was opened. */
  everRead(path: string): boolean {
    for (const name of this.table.names()) if (name.startsWith(`${path}.`)) return true;
    return false;
  }

  /** Names seen in a list while the table reaches back, e.g. of "disks.devices"; labels select the list's owner. */
  instances(path: string, ...owner: string[]): string[] {
    const names = [...(this.seen.get(column(path, ...owner))?.keys() ?? [])];
    return names.sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  }

  /** Whether the newest snapshot still had it. */
  isCurrent(path: string, name: string, ...owner: string[]): boolean {
    return this.seen.get(column(path, ...owner))?.get(name) === this.lastAt;
  }

  latest(path: string, ...labels: (string | number)[]): number | undefined {
    return this.table.latest(column(path, ...labels));
  }

  heatColumns(path: string, ...labels: (string | number)[]): readonly HeatColumn[] {
    return this.heat.get(column(path, ...labels)) ?? [];
  }

  private breakBefore(snapshot: Snapshot): Break | undefined {
    const before = this.newest;
    if (before === undefined) return "none";
    if (!sameBytes(present(before, "bootId"), present(snapshot, "bootId"))) return "reboot";
    if (!sameBytes(present(before, "instance"), present(snapshot, "instance"))) return "restart";
    const from = present(before, "sequence") ?? 0n;
    const to = present(snapshot, "sequence") ?? 0n;
    if (to <= from) return undefined;
    if (to === from + 1n) return "none";
    this.missing += Number(to - from - 1n);
    return "missing";
  }

  /** True when the message was read at this tick (and not merely said that it was not due). */
  private walk(plan: MessagePlan, message: Message, path: string, labels: string[], generation: string, tick: Tick) {
    let at = tick.at;
    if (plan.state) {
      const state = presentField(message, plan.state) as State | undefined;
      if (state?.code === State_Code.NOT_DUE) {
        tick.notDue.push(`${path}.`);
        return false;
      }
      if (state) this.states.set(path, state);
      const collected = present(state, "collectedAtUs");
      if (collected !== undefined) at = Number(collected) / 1e6;
    }
    const inner = tick.at === at ? tick : tick.from(at);
    const longest = longestSpan(this.intervalSeconds);
    for (const scalar of plan.scalars) {
      const value = presentField(message, scalar.field) as number | bigint | undefined;
      if (value === undefined) continue;
      const name = column(scalar.path, ...labels);
      if (!scalar.rate) {
        tick.row.set(name, Number(value) * scalar.factor);
        continue;
      }
      const now: Reading = { value, at, generation };
      const rate = rateOf(this.readings.get(name), now, longest);
      this.readings.set(name, now);
      if (rate !== undefined) tick.row.set(name, rate * scalar.factor);
    }
    for (const { field, path: fieldPath } of plan.histograms) {
      const histogram = presentField(message, field) as Histogram | undefined;
      if (histogram) this.addHistogram(column(fieldPath, ...labels), histogram, at, generation, longest, tick);
    }
    for (const child of plan.children) this.walkChild(child, message, labels, generation, inner);
    return true;
  }

  private walkChild(child: ChildPlan, message: Message, labels: string[], generation: string, tick: Tick) {
    const value = presentField(message, child.field);
    if (!child.list) {
      if (value !== undefined) this.walk(child.plan, value as Message, child.path, labels, generation, tick);
      return;
    }
    // A list without names has no series: there is nothing to tell its members apart by.
    const { name: nameField } = child.plan;
    if (nameField === undefined) return;
    const owner = column(child.path, ...labels);
    const seen = this.seen.get(owner) ?? new Map<string, number>();
    this.seen.set(owner, seen);
    for (const item of (value ?? []) as Message[]) {
      const name = presentField(item, nameField);
      if (name === undefined) continue;
      seen.set(String(name), tick.time);
      const own = child.plan.generation.map((field) => String(presentField(item, field) ?? "")).join("/");
      this.walk(child.plan, item, child.path, [...labels, String(name)], `${generation}/${own}`, tick);
    }
  }

  private addHistogram(
    name: string,
    histogram: Histogram,
    at: number,
    generation: string,
    longest: number,
    tick: Tick,
  ): void {
    const before = this.distributions.get(name);
    this.distributions.set(name, { at, generation, histogram });
    if (!before || before.generation !== generation || tick.before === undefined) return;
    const span = at - before.at;
    if (!(span > 0) || span > longest) return;
    const buckets = histogramDelta(before.histogram, histogram);
    if (!buckets) return;
    const columns = this.heat.get(name) ?? [];
    this.heat.set(name, columns);
    columns.push({ from: Math.max(tick.time - span, columns.at(-1)?.to ?? 0), to: tick.time, buckets });
  }

  private trim(time: number): void {
    const oldest = Math.max(time - this.limits.seconds, this.table.firstTime ?? 0);
    for (const columns of this.heat.values()) {
      let drop = 0;
      while (drop < columns.length && (columns[drop]?.to ?? 0) < oldest) drop += 1;
      // In lumps, so that a long history does not move at every tick.
      if (drop > 64 || drop === columns.length) columns.splice(0, drop);
    }
    for (const names of this.seen.values()) for (const [name, last] of names) if (last < oldest) names.delete(name);
  }

  /** The agent's wall clock was set back: old times would stand after new ones. */
  private forgetTable(): void {
    (this as { table: TimeTable }).table = new TimeTable(this.limits.seconds, this.limits.rows);
    this.heat.clear();
    this.seen.clear();
  }

  private forgetReadings(): void {
    this.readings.clear();
    this.distributions.clear();
  }
}

/** What one walk needs and gathers. */
class Tick {
  row = new Map<string, number>();
  notDue: string[] = [];
  constructor(
    readonly before: number | undefined,
    readonly time: number,
    readonly at: number,
  ) {}
  /** The same tick, for a section that was read at a moment of its own. */
  from(at: number): Tick {
    const inner = new Tick(this.before, this.time, at);
    inner.row = this.row;
    inner.notDue = this.notDue;
    return inner;
  }
}

function sameBytes(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
