import { type Histogram, Histogram_Scheme } from "../gen/sonde/v1/metric_pb";

// Histograms travel cumulative and sparse. What is shown is the difference of two readings: what happened between
// them. Buckets of SCHEME_LOG_LINEAR_4 are four linear steps per power of two, so a bucket number is also a position
// on a logarithmic axis.

/** What fell into each bucket between two readings; `indexes` ascending, `counts` never negative. */
export interface Buckets {
  indexes: number[];
  counts: number[];
  total: number;
  /** Of all values, in the field's unit. */
  sum: number;
}

/** Smallest value of a bucket. */
export function bucketLow(index: number): number {
  if (index < 4) return index;
  const e = Math.floor((index - 4) / 4);
  return (4 + ((index - 4) % 4)) * 2 ** e;
}

/** Smallest value that belongs to the next bucket. */
export function bucketHigh(index: number): number {
  return bucketLow(index + 1);
}

/** The bucket of a value, for tests and for axes. */
export function bucketOf(value: number): number {
  if (value < 4) return Math.max(0, Math.floor(value));
  const e = Math.floor(Math.log2(value));
  return 4 + (e - 2) * 4 + (Math.floor(value / 2 ** (e - 2)) & 3);
}

/**
 * What `now` has more than `before`. Undefined when a bucket or the sum went backwards (the probe was started anew:
 * the difference means nothing), when the scheme is one we cannot read, or the message contradicts itself.
 */
export function histogramDelta(before: Histogram, now: Histogram): Buckets | undefined {
  if (now.scheme !== Histogram_Scheme.LOG_LINEAR_4 || before.scheme !== now.scheme) return undefined;
  if (now.indexes.length !== now.counts.length || before.indexes.length !== before.counts.length) return undefined;
  const out: Buckets = { indexes: [], counts: [], total: 0, sum: Number(now.sum - before.sum) };
  if (out.sum < 0) return undefined;
  let old = 0;
  for (let i = 0; i < now.indexes.length; i += 1) {
    const index = now.indexes[i] ?? 0;
    const oldIndex = before.indexes[old];
    // A bucket that was filled and is gone: buckets never empty without a restart.
    if (oldIndex !== undefined && oldIndex < index) return undefined;
    const same = oldIndex === index;
    const more = Number((now.counts[i] ?? 0n) - (same ? (before.counts[old] ?? 0n) : 0n));
    if (same) old += 1;
    if (more < 0) return undefined;
    if (more === 0) continue;
    out.indexes.push(index);
    out.counts.push(more);
    out.total += more;
  }
  return old < before.indexes.length ? undefined : out;
}

/** Everything the histogram holds, as if it had been empty before. */
export function emptyLike(now: Histogram): Histogram {
  return { ...now, sum: 0n, indexes: [], counts: [] };
}

/** The value below which `q` of the counts lie, interpolated within its bucket; undefined when there are none. */
export function quantile(buckets: Buckets, q: number): number | undefined {
  if (buckets.total <= 0) return undefined;
  const rank = q * buckets.total;
  let below = 0;
  for (let i = 0; i < buckets.indexes.length; i += 1) {
    const here = buckets.counts[i] ?? 0;
    if (below + here >= rank) {
      const index = buckets.indexes[i] ?? 0;
      const low = bucketLow(index);
      return low + (bucketHigh(index) - low) * Math.max(0, (rank - below) / here);
    }
    below += here;
  }
  return bucketHigh(buckets.indexes.at(-1) ?? 0);
}

/** The sum of several, e.g. of all operations of a device. */
export function mergeBuckets(parts: readonly Buckets[]): Buckets {
  if (parts.length === 1 && parts[0]) return parts[0];
  const counts = new Map<number, number>();
  let sum = 0;
  for (const part of parts) {
    sum += part.sum;
    part.indexes.forEach((index, i) => {
      counts.set(index, (counts.get(index) ?? 0) + (part.counts[i] ?? 0));
    });
  }
  const indexes = [...counts.keys()].sort((a, b) => a - b);
  const merged = indexes.map((index) => counts.get(index) ?? 0);
  return { indexes, counts: merged, total: merged.reduce((a, b) => a + b, 0), sum };
}
