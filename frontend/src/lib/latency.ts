import { bucketPosition } from "./axes";
import { type Buckets, mergeBuckets, quantile } from "./histogram";
import type { HeatColumn, History } from "./history";

// What the block latency map shows: histograms of the chosen devices and operations, merged tick by tick.

export const LATENCIES = ["device", "request", "queue"] as const;
export type Latency = (typeof LATENCIES)[number];

export const OPERATIONS = "block_io.devices.operations";

/** Every (device, operation) there is among these devices. */
export function pairs(history: History, devices: readonly string[], operation: string | undefined): [string, string][] {
  return devices.flatMap((device) =>
    history
      .instances(OPERATIONS, device)
      .filter((name) => operation === undefined || name === operation)
      .map((name): [string, string] => [device, name]),
  );
}

/** The columns of several series that end within the span, one for each tick, oldest first. */
export function mergeColumns(series: readonly (readonly HeatColumn[])[], from: number, to: number): HeatColumn[] {
  const byEnd = new Map<number, HeatColumn[]>();
  for (const columns of series)
    for (const column of columns) {
      if (column.to < from || column.from > to) continue;
      const same = byEnd.get(column.to);
      if (same) same.push(column);
      else byEnd.set(column.to, [column]);
    }
  return [...byEnd]
    .sort(([a], [b]) => a - b)
    .map(([end, columns]) => ({
      from: Math.max(...columns.map((column) => column.from)),
      to: end,
      buckets: mergeBuckets(columns.map((column) => column.buckets)),
    }));
}

export interface LatencySummary {
  count: number;
  mean: number | undefined;
  p50: number | undefined;
  p99: number | undefined;
  max: number | undefined;
}

/** Seconds, from nanosecond buckets. */
export function summarise(buckets: Buckets): LatencySummary {
  const seconds = (ns: number | undefined) => (ns === undefined ? undefined : ns / 1e9);
  return {
    count: buckets.total,
    mean: buckets.total > 0 ? buckets.sum / buckets.total / 1e9 : undefined,
    p50: seconds(quantile(buckets, 0.5)),
    p99: seconds(quantile(buckets, 0.99)),
    max: seconds(quantile(buckets, 1)),
  };
}

/** The rows the map needs, widened to whole decades so that it does not jump with every tick. */
export function rowSpan(columns: readonly HeatColumn[]): [number, number] {
  let low = Number.POSITIVE_INFINITY;
  let high = 0;
  for (const { buckets } of columns) {
    const first = buckets.indexes[0];
    const last = buckets.indexes.at(-1);
    if (first === undefined || last === undefined) continue;
    low = Math.min(low, first);
    high = Math.max(high, last + 1);
  }
  if (low > high) return [bucketPosition(1e4), bucketPosition(1e8)];
  const decade = (round: (n: number) => number, position: number) => {
    for (let e = 0; e <= 13; e += 1) {
      const here = bucketPosition(10 ** e);
      const next = bucketPosition(10 ** (e + 1));
      if (position <= here) return here;
      if (position < next) return bucketPosition(10 ** round(e + (position - here) / (next - here)));
    }
    return position;
  };
  return [Math.floor(decade(Math.floor, low)), Math.ceil(decade(Math.ceil, high))];
}

/** The quantile of every column as a line over the map; broken where nothing happened. */
export function quantileLine(columns: readonly HeatColumn[], q: number): ({ time: number; at: number } | null)[] {
  const points: ({ time: number; at: number } | null)[] = [];
  let end: number | undefined;
  for (const { from, to, buckets } of columns) {
    const value = quantile(buckets, q);
    if (value === undefined || (end !== undefined && from - end > (to - from) / 2)) points.push(null);
    if (value !== undefined) points.push({ time: (from + to) / 2, at: bucketPosition(value) });
    end = to;
  }
  return points;
}
