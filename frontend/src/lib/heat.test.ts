import { describe, expect, it } from "vitest";
import { coarsen, type HeatCells } from "./heat";

const tick = (to: number, ...cells: [row: number, value: number][]): HeatCells => ({
  from: to - 1,
  to,
  rows: cells.map(([row]) => row),
  values: cells.map(([, value]) => value),
});

describe("coarsen", () => {
  it("adds counts and averages shares", () => {
    const columns = [tick(1, [5, 2]), tick(2, [5, 4], [6, 1])];
    expect(coarsen(columns, 2, "sum")).toEqual([{ from: 0, to: 2, rows: [5, 6], values: [6, 1] }]);
    expect(coarsen(columns, 2, "mean")).toEqual([{ from: 0, to: 2, rows: [5, 6], values: [3, 1] }]);
  });

  it("leaves columns that are wide enough as they are", () => {
    const columns = [tick(1, [5, 2]), tick(2, [5, 4]), tick(3)];
    expect(coarsen(columns, 0.4, "sum")).toEqual(columns);
  });

  it("keeps bins in place when the picture moves on", () => {
    const all = Array.from({ length: 12 }, (_, i) => tick(i + 1, [1, 1]));
    const bounds = (columns: readonly HeatCells[]) => columns.map((c) => c.from);
    expect(bounds(coarsen(all, 3, "sum"))).toEqual([0, 3, 6, 9]);
    expect(bounds(coarsen(all.slice(1), 3, "sum"))).toEqual([1, 3, 6, 9]);
  });

  it("does not close gaps", () => {
    expect(coarsen([tick(1, [1, 1]), tick(4, [1, 1])], 10, "sum")).toHaveLength(2);
  });

  it("takes nothing and gives nothing", () => {
    expect(coarsen([], 1, "sum")).toEqual([]);
  });
});
