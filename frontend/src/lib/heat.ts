// Columns of a heat map, and fewer of them where the screen has no pixels for all.

export interface HeatCells {
  from: number;
  to: number;
  /** Lower edges of the cells, each one row high, and what is in them. */
  rows: readonly number[];
  values: readonly number[];
}

/** How cells of several ticks become one: counts add up, shares are averaged. */
export type Combine = "sum" | "mean";

function combine(columns: readonly HeatCells[], how: Combine): HeatCells {
  const first = columns[0];
  const last = columns.at(-1);
  if (!first || !last || columns.length === 1) return first ?? { from: 0, to: 0, rows: [], values: [] };
  const sums = new Map<number, [sum: number, times: number]>();
  for (const { rows, values } of columns)
    rows.forEach((row, i) => {
      const cell = sums.get(row);
      const value = values[i] ?? 0;
      if (cell) {
        cell[0] += value;
        cell[1] += 1;
      } else sums.set(row, [value, 1]);
    });
  const values = [...sums.values()].map(([sum, times]) => (how === "sum" ? sum : sum / times));
  return { from: first.from, to: last.to, rows: [...sums.keys()], values };
}

/**
 * Columns at least about `width` seconds wide. Bins stand still on the clock, so that the picture moves and does not
 * shimmer; a gap between two columns stays a gap.
 */
export function coarsen(columns: readonly HeatCells[], width: number, how: Combine): readonly HeatCells[] {
  const out: HeatCells[] = [];
  let group: HeatCells[] = [];
  let bin = Number.NaN;
  const flush = () => {
    if (group.length > 0) out.push(combine(group, how));
    group = [];
  };
  for (const column of columns) {
    const own = Math.floor(column.from / width);
    const before = group.at(-1);
    if (own !== bin || (before && column.from - before.to > (column.to - column.from) / 2)) flush();
    bin = own;
    group.push(column);
  }
  flush();
  return out;
}
