import { createContext, useContext } from "react";
import type { History } from "../lib/history";
import { column } from "../lib/history";
import type { Cell } from "../lib/timeTable";

// What all charts of a page share: the span of time on screen, one crosshair, and whether somebody is looking closely.

export type Span = readonly [from: number, to: number];

/** One moment pointed at, told to every chart without rendering anything anew. */
export class Crosshair {
  time: number | undefined;
  private readonly listeners = new Set<(source: unknown) => void>();

  set(time: number | undefined, source: unknown): void {
    if (time === this.time) return;
    this.time = time;
    for (const listener of this.listeners) listener(source);
  }

  subscribe(listener: (source: unknown) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }
}

export interface View {
  history: History;
  /** Changes with every sample that is shown. */
  version: number;
  span: Span;
  crosshair: Crosshair;
  /** The pointer is over a chart: the picture stands still while samples go on being gathered. */
  hold: (on: boolean) => void;
  /** Shows a span of the past, or goes back to live. */
  zoom: (span: Span | undefined) => void;
}

/** Times and columns of the span, taken together so that they fit each other. */
export interface Frame {
  times: number[];
  cells: (path: string, ...labels: (string | number)[]) => Cell[];
}

export function frameOf({ history: { table }, span: [from, to] }: View): Frame {
  const rows = table.rows(from, to);
  return { times: table.times(rows), cells: (path, ...labels) => table.cells(column(path, ...labels), rows) };
}

export const ViewContext = createContext<View | undefined>(undefined);

export function useView(): View {
  const view = useContext(ViewContext);
  if (!view) throw new Error("a chart stands outside of a page with a view");
  return view;
}

/** The plot's frame, the same in every chart so that one crosshair is one vertical line down the page. */
export const PLOT = { left: 66, right: 10, top: 8, bottom: 24 } as const;

export const SERIES_COLORS = ["--c1", "--c2", "--c3", "--c4", "--c5", "--c6", "--c7", "--c8"] as const;

export function seriesColor(index: number): string {
  return SERIES_COLORS[index % SERIES_COLORS.length] ?? "--c1";
}
