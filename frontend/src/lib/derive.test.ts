import { describe, expect, it } from "vitest";
import { busyOf, lessOf, ratioOf, shares, stacked, sumOf } from "./derive";

describe("CPU shares", () => {
  const idle = (n: number) => [n];
  it("add up to one", () => {
    const out = shares([[1], [0], [2], [0], [0], [0], [0.5], [0.5]]);
    expect(out.map((c) => c[0])).toEqual([0.25, 0, 0.5, 0, 0, 0, 0.125, 0.125]);
    expect(busyOf([[1], [0], [2], [0], [0], [0], [0.5], idle(0.5)])).toEqual([0.75]);
  });

  it("survive one state that went backwards", () => {
    expect(busyOf([[1], [0], [0], [0], [0], [0], [null], [1]])).toEqual([0.5]);
  });

  it("are holes in holes, and not due when nothing was", () => {
    const hole = Array.from({ length: 8 }, () => [null]);
    expect(busyOf(hole)).toEqual([null]);
    const later = Array.from({ length: 8 }, () => [undefined]);
    expect(busyOf(later)).toEqual([undefined]);
    expect(busyOf(Array.from({ length: 8 }, () => [0]))).toEqual([null]);
  });
});

it("adds, subtracts and divides without inventing numbers", () => {
  expect(
    sumOf([
      [1, null, 2],
      [1, 1, undefined],
    ]),
  ).toEqual([2, null, undefined]);
  expect(lessOf([10, 10, null], [3, 12, 1])).toEqual([7, 0, null]);
  expect(ratioOf([4, 1, null], [2, 0, 1])).toEqual([2, null, null]);
});

it("stacks, leaving hidden parts out", () => {
  const parts = [
    [1, 1],
    [2, null],
    [4, 4],
  ];
  expect(stacked(parts, [false, false, false])).toEqual([
    [1, 1],
    [3, null],
    [7, null],
  ]);
  expect(stacked(parts, [false, true, false])).toEqual([
    [1, 1],
    [null, null],
    [5, 5],
  ]);
});
