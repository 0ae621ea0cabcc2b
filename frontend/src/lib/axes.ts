import { bucketLow, bucketOf } from "./histogram";
import { formatDuration } from "./units";

// Where the labels of hand-drawn axes stand.

export interface Tick {
  at: number;
  label: string;
}

const TIME_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600];

/** Clock time of day, with seconds where the step needs them. */
export function clockLabel(seconds: number, step: number): string {
  const date = new Date(seconds * 1000);
  const two = (n: number) => n.toString().padStart(2, "0");
  const minutes = `${two(date.getHours())}:${two(date.getMinutes())}`;
  return step < 60 ? `${minutes}:${two(date.getSeconds())}` : minutes;
}

/** Round moments within the span, at least `gap` pixels apart. */
export function timeTicks(from: number, to: number, width: number, gap = 84): Tick[] {
  if (!(to > from) || width <= 0) return [];
  const wanted = ((to - from) * gap) / width;
  const step = TIME_STEPS.find((s) => s >= wanted) ?? 3600;
  const ticks: Tick[] = [];
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) ticks.push({ at, label: clockLabel(at, step) });
  return ticks;
}

/** The position of a value on the axis of log-linear buckets, between bucket numbers. */
export function bucketPosition(value: number): number {
  const index = bucketOf(value);
  const low = bucketLow(index);
  return index + (value - low) / (bucketLow(index + 1) - low);
}

/** 1, 10, 100 ns, 1 µs, ... as positions on the bucket axis between two positions. */
export function latencyTicks(low: number, high: number): Tick[] {
  const ticks: Tick[] = [];
  for (let ns = 1; ns <= 1e12; ns *= 10) {
    const at = bucketPosition(ns);
    if (at >= low && at <= high) ticks.push({ at, label: formatDuration(ns / 1e9).replace(/\.0+ /, " ") });
  }
  return ticks;
}
