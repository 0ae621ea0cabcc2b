import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { Histogram_Scheme, HistogramSchema } from "../gen/sonde/v1/metric_pb";
import { bucketHigh, bucketLow, bucketOf, histogramDelta, mergeBuckets, quantile } from "./histogram";

const make = (entries: [number, bigint][], sum = 0n, scheme = Histogram_Scheme.LOG_LINEAR_4) =>
  create(HistogramSchema, { scheme, sum, indexes: entries.map(([i]) => i), counts: entries.map(([, c]) => c) });

describe("buckets", () => {
  it("follow the scheme: v < 4 is bucket v, then four per power of two", () => {
    expect([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 15, 16, 1024].map(bucketOf)).toEqual([
      0, 1, 2, 3, 4, 5, 6, 7, 8, 8, 9, 11, 12, 36,
    ]);
  });

  it("hold exactly the values between their bounds, without holes", () => {
    for (let index = 0; index < 250; index += 1) {
      const low = bucketLow(index);
      expect(bucketOf(low)).toBe(index);
      expect(bucketHigh(index)).toBe(bucketLow(index + 1));
      if (low >= 4) expect(bucketHigh(index) / low).toBeLessThanOrEqual(1.25);
    }
  });
});

describe("histogramDelta", () => {
  it("is what came between", () => {
    const delta = histogramDelta(
      make([[3, 5n]], 15n),
      make(
        [
          [3, 7n],
          [9, 1n],
        ],
        32n,
      ),
    );
    expect(delta).toEqual({ indexes: [3, 9], counts: [2, 1], total: 3, sum: 17 });
  });

  it("is empty when nothing happened", () => {
    expect(histogramDelta(make([[3, 5n]], 15n), make([[3, 5n]], 15n))?.total).toBe(0);
    expect(histogramDelta(make([]), make([]))?.total).toBe(0);
  });

  it("is unknown after a reset, never negative", () => {
    expect(histogramDelta(make([[3, 5n]], 15n), make([[3, 1n]], 20n))).toBeUndefined();
    expect(histogramDelta(make([[3, 5n]]), make([[4, 9n]]))).toBeUndefined();
    expect(
      histogramDelta(
        make([
          [3, 5n],
          [8, 1n],
        ]),
        make([[3, 5n]]),
      ),
    ).toBeUndefined();
    expect(histogramDelta(make([[3, 5n]], 15n), make([[3, 5n]], 14n))).toBeUndefined();
  });

  it("refuses what it cannot read", () => {
    const unknown = make([[3, 5n]], 1n, Histogram_Scheme.UNSPECIFIED);
    expect(histogramDelta(unknown, unknown)).toBeUndefined();
    const torn = make([[3, 5n]]);
    torn.counts.push(1n);
    expect(histogramDelta(make([]), torn)).toBeUndefined();
  });

  it("takes the largest bucket and counts beyond 2^53 apart", () => {
    const big = 2n ** 60n;
    expect(histogramDelta(make([[251, big]], big), make([[251, big + 2n]], big + 9n))).toEqual({
      indexes: [251],
      counts: [2],
      total: 2,
      sum: 9,
    });
  });
});

describe("quantile", () => {
  it("lies within its bucket", () => {
    const buckets = { indexes: [36, 40], counts: [99, 1], total: 100, sum: 0 };
    const p50 = quantile(buckets, 0.5) ?? 0;
    expect(p50).toBeGreaterThanOrEqual(1024);
    expect(p50).toBeLessThanOrEqual(1280);
    expect(quantile(buckets, 0.999) ?? 0).toBeGreaterThanOrEqual(2048);
    expect(quantile(buckets, 1)).toBe(bucketHigh(40));
  });

  it("is unknown without values", () => {
    expect(quantile({ indexes: [], counts: [], total: 0, sum: 0 }, 0.5)).toBeUndefined();
  });
});

it("merges what several operations did", () => {
  const merged = mergeBuckets([
    { indexes: [5, 9], counts: [1, 2], total: 3, sum: 10 },
    { indexes: [2, 9], counts: [4, 1], total: 5, sum: 7 },
  ]);
  expect(merged).toEqual({ indexes: [2, 5, 9], counts: [4, 1, 3], total: 8, sum: 17 });
});
