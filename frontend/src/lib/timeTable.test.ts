import { describe, expect, it } from "vitest";
import { TimeTable } from "./timeTable";

const row = (values: Record<string, number>) => new Map(Object.entries(values));

describe("TimeTable", () => {
  it("keeps columns beside one time axis, whenever they appear or go", () => {
    const table = new TimeTable(100, 100);
    table.push(1, row({ a: 10 }));
    table.push(2, row({ a: 20, b: 5 }));
    table.push(3, row({ b: 6 }));
    const all = table.rows(1, 3);
    expect(table.times(all)).toEqual([1, 2, 3]);
    expect(table.cells("a", all)).toEqual([10, 20, null]);
    expect(table.cells("b", all)).toEqual([null, 5, 6]);
    expect(table.cells("none", all)).toEqual([null, null, null]);
  });

  it("tells a hole from a row at which nothing was due", () => {
    const table = new TimeTable(100, 100);
    table.push(1, row({ slow: 1, fast: 1 }));
    table.push(2, row({ fast: 2 }), (name) => name === "slow");
    expect(table.cells("slow", table.rows(1, 2))).toEqual([1, undefined]);
    expect(table.latest("slow")).toBe(1);
    table.pushGap(3);
    expect(table.latest("slow")).toBeUndefined();
    expect(table.cells("fast", table.rows(1, 3))).toEqual([1, 2, null]);
  });

  it("refuses time that does not go forward", () => {
    const table = new TimeTable(100, 100);
    expect(table.push(5, row({ a: 1 }))).toBe(true);
    expect(table.push(5, row({ a: 2 }))).toBe(false);
    expect(table.push(4, row({ a: 3 }))).toBe(false);
    expect(table.length).toBe(1);
  });

  it("forgets by time and by number, and stays right while it moves and grows", () => {
    const table = new TimeTable(50, 1000, 4);
    for (let t = 0; t < 5000; t += 1) {
      table.push(t, row(t >= 4990 ? { a: t, late: -t } : { a: t }));
      expect(table.length).toBeLessThanOrEqual(51);
    }
    const all = table.rows(0, 5000);
    expect(table.times(all)).toEqual(Array.from({ length: 51 }, (_, i) => 4949 + i));
    expect(table.cells("a", all)).toEqual(table.times(all));
    expect(table.cells("late", all).filter((v) => v !== null)).toEqual(Array.from({ length: 10 }, (_, i) => -4990 - i));

    const few = new TimeTable(1e9, 3, 2);
    for (let t = 0; t < 10; t += 1) few.push(t, row({ a: t }));
    expect(few.times(few.rows(0, 10))).toEqual([7, 8, 9]);
    expect(few.firstTime).toBe(7);
  });

  it("gives the rows of a span with one neighbour on each side", () => {
    const table = new TimeTable(100, 100);
    for (let t = 0; t < 10; t += 1) table.push(t, row({ a: t }));
    expect(table.times(table.rows(3, 5))).toEqual([2, 3, 4, 5, 6]);
    expect(table.times(table.rows(3.5, 4.5))).toEqual([3, 4, 5]);
    expect(table.times(table.rows(20, 30))).toEqual([9]);
  });
});
