import { describe, expect, it } from "vitest";
import { bucketPosition, latencyTicks, timeTicks } from "./axes";
import { bucketLow } from "./histogram";

describe("time ticks", () => {
  it("are round and far enough apart", () => {
    expect(timeTicks(0, 60, 600).map((t) => t.at)).toEqual([0, 10, 20, 30, 40, 50, 60]);
    expect(timeTicks(3, 903, 400).map((t) => t.at)).toEqual([300, 600, 900]);
  });

  it("are none where there is no room or no span", () => {
    expect(timeTicks(5, 5, 100)).toEqual([]);
    expect(timeTicks(0, 60, 0)).toEqual([]);
  });
});

describe("the latency axis", () => {
  it("grows with the value and meets the buckets' bounds", () => {
    for (const index of [0, 3, 4, 17, 90]) expect(bucketPosition(bucketLow(index))).toBe(index);
    expect(bucketPosition(1500)).toBeGreaterThan(bucketPosition(1400));
  });

  it("labels decades", () => {
    const ticks = latencyTicks(bucketPosition(500), bucketPosition(2e6));
    expect(ticks.map((t) => t.label)).toEqual(["1 µs", "10 µs", "100 µs", "1 ms"]);
  });
});
