import type { ChartSeries } from "../../charts/TimeChart";
import { type Frame, seriesColor } from "../../charts/view";
import { helpOf } from "../../lib/schema";

// From a field's path to a line on a chart: name, help and unit come from the schema.

/** "context_switches" as people read it: without its unit, with spaces, the first letter large. */
export function wordsOf(path: string): string {
  const name = (path.split(".").at(-1) ?? path).replace(/_(bytes|us|ns|ms|ratio)$/, "");
  const words = name.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

export function field(frame: Frame, path: string, color: number, label = wordsOf(path)): ChartSeries {
  return { label, help: helpOf(path), color: seriesColor(color), values: frame.cells(path) };
}

/** One line for every instance, e.g. every interface; its colour is that of its place in `palette`. */
export function perInstance(
  frame: Frame,
  path: string,
  names: readonly string[],
  { dash = false, palette = names }: { dash?: boolean; palette?: readonly string[] } = {},
): ChartSeries[] {
  return names.map((name) => ({
    label: name,
    help: helpOf(path),
    color: seriesColor(Math.max(0, palette.indexOf(name))),
    values: frame.cells(path, name),
    dash,
  }));
}

/** Lines a chart can hold before nobody can tell them apart. */
export const MOST_LINES = 8;
