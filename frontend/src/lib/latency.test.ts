import { describe, expect, it } from "vitest";
import { bucketPosition } from "./axes";
import { bucketOf } from "./histogram";
import type { HeatColumn } from "./history";
import { mergeColumns, quantileLine, rowSpan, summarise } from "./latency";

const at = (to: number, ...ns: number[]): HeatColumn => {
  const indexes = [...new Set(ns.map(bucketOf))].sort((a, b) => a - b);
  return {
    from: to - 1,
    to,
    buckets: {
      indexes,
      counts: indexes.map((i) => ns.filter((n) => bucketOf(n) === i).length),
      total: ns.length,
      sum: ns.reduce((a, b) => a + b, 0),
    },
  };
};

describe("merging", () => {
  it("adds what ended at the same tick and leaves out what is outside", () => {
    const merged = mergeColumns([[at(1, 5), at(2, 1000), at(9, 5)], [at(2, 1000, 50_000)]], 1.5, 5);
    expect(merged.map((c) => [c.to, c.buckets.total])).toEqual([[2, 3]]);
  });
});

describe("summarise", () => {
  it("gives seconds, and nothing where nothing happened", () => {
    const summary = summarise(at(1, 1e6, 1e6, 1e6, 3e6).buckets);
    expect(summary.count).toBe(4);
    expect(summary.mean).toBeCloseTo(0.0015);
    expect(summary.p50).toBeGreaterThan(0.0008);
    expect(summary.p50).toBeLessThan(0.00125);
    expect(summary.max).toBeGreaterThanOrEqual(0.003);
    expect(summarise(at(1).buckets)).toMatchObject({ count: 0, mean: undefined, p50: undefined, max: undefined });
  });
});

describe("the map's rows", () => {
  it("cover whole decades around what there is", () => {
    const [low, high] = rowSpan([at(1, 150_000, 7_000_000)]);
    expect(low).toBe(Math.floor(bucketPosition(1e5)));
    expect(high).toBe(Math.ceil(bucketPosition(1e7)));
    const [none] = rowSpan([]);
    expect(none).toBeGreaterThan(0);
  });
});

it("breaks a percentile's line over silence and gaps", () => {
  const line = quantileLine([at(1, 1000), at(2), at(3, 1000), at(7, 1000)], 0.5);
  expect(line.map((point) => point?.time ?? null)).toEqual([0.5, null, 2.5, null, 6.5]);
});
