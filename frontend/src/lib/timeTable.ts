// Samples of one host over a bounded time: one time axis, many columns beside it. Columns are dense typed arrays, so a
// host with thousands of series costs eight bytes a sample.

/** A cell's content. `null` is a hole the line must break at; `undefined` was not due, and the line goes on over it. */
export type Cell = number | null | undefined;

const HOLE = Number.NaN;
const NOT_DUE = Number.POSITIVE_INFINITY;

export class TimeTable {
  private time: Float64Array;
  private readonly columns = new Map<string, Float64Array>();
  private first = 0;
  private end = 0;

  /** Keeps at most `maxRows` rows and `maxSeconds` of time, whichever is less. */
  constructor(
    private readonly maxSeconds: number,
    private readonly maxRows: number,
    initialRows = 256,
  ) {
    this.time = new Float64Array(Math.max(4, Math.min(initialRows, maxRows)));
  }

  get length(): number {
    return this.end - this.first;
  }

  get lastTime(): number | undefined {
    return this.end > this.first ? this.time[this.end - 1] : undefined;
  }

  get firstTime(): number | undefined {
    return this.end > this.first ? this.time[this.first] : undefined;
  }

  names(): IterableIterator<string> {
    return this.columns.keys();
  }

  has(name: string): boolean {
    return this.columns.has(name);
  }

  /**
   * Appends a row. Cells of columns the row does not name are holes, or not due where `notDue(column)` says so. A row
   * that is not later than the last is refused: returns false.
   */
  push(time: number, row: ReadonlyMap<string, number>, notDue?: (column: string) => boolean): boolean {
    const last = this.lastTime;
    if (last !== undefined && time <= last) return false;
    this.makeRoom();
    const at = this.end;
    this.time[at] = time;
    this.end += 1;
    for (const [name, column] of this.columns) {
      const value = row.get(name);
      column[at] = value ?? (notDue?.(name) ? NOT_DUE : HOLE);
    }
    for (const [name, value] of row) {
      if (this.columns.has(name)) continue;
      const column = new Float64Array(this.time.length).fill(HOLE);
      column[at] = value;
      this.columns.set(name, column);
    }
    while (this.length > this.maxRows || time - (this.time[this.first] ?? time) > this.maxSeconds) this.first += 1;
    return true;
  }

  /** A row of holes: every line breaks here. */
  pushGap(time: number): boolean {
    return this.push(time, new Map());
  }

  /** Row numbers [from, to) of the times within [low, high], with one more row on each side so that lines reach the edges. */
  rows(low: number, high: number): [number, number] {
    let from = this.search(low);
    let to = this.search(high);
    if (to < this.end && this.time[to] === high) to += 1;
    if (from > this.first) from -= 1;
    if (to < this.end) to += 1;
    return [from, to];
  }

  times([from, to]: [number, number]): number[] {
    return Array.from(this.time.subarray(from, to));
  }

  cells(name: string, [from, to]: [number, number]): Cell[] {
    const column = this.columns.get(name);
    const out: Cell[] = new Array(to - from);
    for (let i = from; i < to; i += 1) {
      const value = column?.[i] ?? HOLE;
      out[i - from] = Number.isNaN(value) ? null : value === NOT_DUE ? undefined : value;
    }
    return out;
  }

  /** The newest number of a column, looking back over rows at which it was not due; undefined if there is a hole first. */
  latest(name: string): number | undefined {
    const column = this.columns.get(name);
    if (!column) return undefined;
    for (let i = this.end - 1; i >= this.first; i -= 1) {
      const value = column[i] ?? HOLE;
      if (Number.isNaN(value)) return undefined;
      if (value !== NOT_DUE) return value;
    }
    return undefined;
  }

  private search(time: number): number {
    let low = this.first;
    let high = this.end;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.time[middle] ?? 0) < time) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  private makeRoom(): void {
    if (this.end < this.time.length) return;
    const used = this.length;
    // Half of it is free in front: moving is cheaper than growing, and rare enough to cost nothing a row.
    const size = this.first >= this.time.length / 2 ? this.time.length : this.time.length * 2;
    const move = (from: Float64Array, fill: number) => {
      const to = size === from.length ? from : new Float64Array(size);
      to.set(from.subarray(this.first, this.end));
      to.fill(fill, used);
      return to;
    };
    for (const [name, column] of this.columns) this.columns.set(name, move(column, HOLE));
    this.time = move(this.time, 0);
    this.first = 0;
    this.end = used;
  }
}
