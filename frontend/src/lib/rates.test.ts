import { describe, expect, it } from "vitest";
import { longestSpan, rateOf } from "./rates";

const at = (at: number, value: number | bigint, generation = "") => ({ at, value, generation });

describe("rateOf", () => {
  it("divides growth by time", () => {
    expect(rateOf(at(10, 100n), at(12, 150n), 5)).toBe(25);
    expect(rateOf(at(10, 1.5), at(11, 2), 5)).toBe(0.5);
  });

  it("tells zero from unknown", () => {
    expect(rateOf(at(1, 7n), at(2, 7n), 5)).toBe(0);
    expect(rateOf(undefined, at(2, 7n), 5)).toBeUndefined();
  });

  it("is never negative: a reset gives nothing", () => {
    expect(rateOf(at(1, 1000n), at(2, 3n), 5)).toBeUndefined();
  });

  it("wants time to have passed, and not too much of it", () => {
    expect(rateOf(at(2, 1n), at(2, 9n), 5)).toBeUndefined();
    expect(rateOf(at(3, 1n), at(2, 9n), 5)).toBeUndefined();
    expect(rateOf(at(1, 1n), at(6.1, 9n), 5)).toBeUndefined();
    expect(rateOf(at(1, 1n), at(6, 11n), 5)).toBe(2);
  });

  it("does not mix two devices of one name", () => {
    expect(rateOf(at(1, 1n, "4"), at(2, 9n, "5"), 5)).toBeUndefined();
  });

  it("is exact beyond 2^53", () => {
    const big = 2n ** 63n;
    expect(rateOf(at(0, big), at(1, big + 3n), 5)).toBe(3);
  });
});

it("lets a rate span three intervals, at least five seconds", () => {
  expect(longestSpan(0.1)).toBe(5);
  expect(longestSpan(10)).toBe(30);
});
