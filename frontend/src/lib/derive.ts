import type { Cell } from "./timeTable";

// Numbers made of several columns. A hole in what is needed is a hole in the result; "not due" stays "not due".

/** The states that make up all the time of a CPU; guest time is inside user and nice. */
export const CPU_STATES = ["user", "nice", "system", "irq", "softirq", "steal", "iowait", "idle"] as const;
export const BUSY_STATES = 6;

/** Each part's share of the row's sum. A part that is missing (iowait went backwards) counts as nothing in it. */
export function shares(parts: readonly Cell[][]): Cell[][] {
  const length = parts[0]?.length ?? 0;
  const out: Cell[][] = parts.map(() => new Array<Cell>(length).fill(null));
  for (let i = 0; i < length; i += 1) {
    let sum = 0;
    let known = 0;
    let due = false;
    for (const part of parts) {
      const value = part[i];
      if (value !== undefined) due = true;
      if (typeof value !== "number") continue;
      sum += value;
      known += 1;
    }
    parts.forEach((part, p) => {
      const column = out[p];
      if (!column) return;
      const value = part[i];
      if (!due) column[i] = undefined;
      else if (known * 2 > parts.length && sum > 0) column[i] = (typeof value === "number" ? value : 0) / sum;
    });
  }
  return out;
}

/** The sum of columns row by row. */
export function sumOf(parts: readonly Cell[][]): Cell[] {
  return (parts[0] ?? []).map((_, i) => {
    let sum = 0;
    for (const part of parts) {
      const value = part[i];
      if (typeof value !== "number") return value;
      sum += value;
    }
    return sum;
  });
}

/** Share of the time a CPU was neither idle nor waiting for I/O, from its eight states in the order of CPU_STATES. */
export function busyOf(parts: readonly Cell[][]): Cell[] {
  return sumOf(shares(parts).slice(0, BUSY_STATES));
}

/** a less all of b, never below zero: sizes read one after another may disagree by a little. */
export function lessOf(a: readonly Cell[], ...b: readonly (readonly Cell[])[]): Cell[] {
  return a.map((value, i) => {
    if (typeof value !== "number") return value;
    let rest = value;
    for (const part of b) {
      const minus = part[i];
      if (typeof minus !== "number") return minus;
      rest -= minus;
    }
    return Math.max(0, rest);
  });
}

/** a / b; a hole where b is zero. */
export function ratioOf(a: readonly Cell[], b: readonly Cell[]): Cell[] {
  return a.map((value, i) => {
    const by = b[i];
    if (typeof value !== "number") return value;
    if (typeof by !== "number") return by;
    return by === 0 ? null : value / by;
  });
}

/** Running sums, lowest first: what a stack of areas draws. Hidden parts add nothing and have no line. */
export function stacked(parts: readonly Cell[][], hidden: readonly boolean[]): Cell[][] {
  let below: Cell[] | undefined;
  return parts.map((part, p) => {
    if (hidden[p]) return part.map(() => null);
    const base: Cell[] | undefined = below;
    const sums = part.map((value, i) => {
      if (typeof value !== "number" || base === undefined) return value;
      const under = base[i];
      return typeof under === "number" ? under + value : under;
    });
    below = sums;
    return sums;
  });
}
