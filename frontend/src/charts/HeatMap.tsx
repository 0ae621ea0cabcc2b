import { type PointerEvent, useEffect, useMemo, useRef, useState } from "react";
import { type Tick, timeTicks } from "../lib/axes";
import { type Combine, coarsen, type HeatCells } from "../lib/heat";
import { cssColor, useTheme } from "../lib/theme";
import { prepareCanvas, useWidth } from "./useSize";
import { PLOT, useView } from "./view";

// A hand-drawn map of many values over time: rows upwards, time to the right, colour for how much. One column per
// tick, so a tick without anything, or a gap, stays empty.

/** A line over the map, in row positions. */
export interface HeatLine {
  label: string;
  dash: boolean;
  points: ({ time: number; at: number } | null)[];
}

interface Props {
  label: string;
  columns: readonly HeatCells[];
  /** What becomes of ticks that share a pixel. */
  combine: Combine;
  lines?: readonly HeatLine[];
  low: number;
  high: number;
  ticks: readonly Tick[];
  /** 0..1 for a cell's value, given the largest on the map. */
  shade: (value: number, most: number) => number;
  describe: (row: number, value: number | undefined) => string;
  height?: number;
}

const RAMPS = {
  light: ["#dcecf7", "#9ecae1", "#4292c6", "#08519c", "#08204a"],
  dark: ["#132f3d", "#155e75", "#0d9f8f", "#b5de2b", "#fdf6c9"],
} as const;

function mixed(theme: "light" | "dark", share: number): string {
  const stops = RAMPS[theme];
  const at = share * (stops.length - 1);
  const i = Math.min(stops.length - 2, Math.floor(at));
  const mix = (from: number) => {
    const a = Number.parseInt((stops[i] ?? "").slice(from, from + 2), 16);
    const b = Number.parseInt((stops[i + 1] ?? "").slice(from, from + 2), 16);
    return Math.round(a + (b - a) * (at - i));
  };
  return `rgb(${mix(1)} ${mix(3)} ${mix(5)})`;
}

// A map has tens of thousands of cells a second: their colours are looked up.
const SHADES = 64;
const TABLE = {
  light: Array.from({ length: SHADES }, (_, i) => mixed("light", i / (SHADES - 1))),
  dark: Array.from({ length: SHADES }, (_, i) => mixed("dark", i / (SHADES - 1))),
};

function ramp(theme: "light" | "dark", share: number): string {
  return TABLE[theme][Math.round(Math.min(1, Math.max(0, share)) * (SHADES - 1))] ?? "";
}

const NO_LINES: readonly HeatLine[] = [];
const MIN_COLUMN_PX = 2;

/** What the colours mean, from nothing to the most. */
export function RampKey({ low, high }: { low: string; high: string }) {
  const { theme } = useTheme();
  return (
    <span className="ramp">
      {low}
      <i style={{ background: `linear-gradient(90deg, ${RAMPS[theme].join(", ")})` }} />
      {high}
    </span>
  );
}

interface Tip {
  left: number;
  top: number;
  text: string;
}

export function HeatMap({
  label,
  columns,
  combine,
  lines = NO_LINES,
  low,
  high,
  ticks,
  shade,
  describe,
  height = 220,
}: Props) {
  const view = useView();
  const { theme } = useTheme();
  const canvas = useRef<HTMLCanvasElement>(null);
  const box = useRef<HTMLDivElement>(null);
  const line = useRef<HTMLDivElement>(null);
  const drag = useRef<number | undefined>(undefined);
  const selection = useRef<HTMLDivElement>(null);
  const width = useWidth(box);
  const [tip, setTip] = useState<Tip>();
  const { crosshair, hold, zoom, span } = view;
  const [from, to] = span;
  const plotWidth = Math.max(1, width - PLOT.left - PLOT.right);
  const plotHeight = height - PLOT.top - PLOT.bottom;
  const x = (time: number) => PLOT.left + ((time - from) / (to - from)) * plotWidth;
  const y = (row: number) => PLOT.top + plotHeight - ((row - low) / Math.max(1e-9, high - low)) * plotHeight;

  const drawn = useMemo(
    () => coarsen(columns, ((to - from) / plotWidth) * MIN_COLUMN_PX, combine),
    [columns, from, to, plotWidth, combine],
  );

  // biome-ignore lint/correctness/useExhaustiveDependencies: x and y follow from what is listed
  useEffect(() => {
    const context = canvas.current && width > 0 ? prepareCanvas(canvas.current, width, height) : undefined;
    if (!context || !(to > from)) return;
    context.font = "11px system-ui, sans-serif";
    context.fillStyle = cssColor("--muted");
    context.strokeStyle = cssColor("--grid");
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (const tick of ticks) {
      context.fillText(tick.label, PLOT.left - 8, y(tick.at));
      context.fillRect(0, 0, 0, 0);
      context.beginPath();
      context.moveTo(PLOT.left, Math.round(y(tick.at)) + 0.5);
      context.lineTo(PLOT.left + plotWidth, Math.round(y(tick.at)) + 0.5);
      context.stroke();
    }
    context.textAlign = "center";
    context.textBaseline = "top";
    for (const tick of timeTicks(from, to, plotWidth)) {
      const at = x(tick.at);
      if (at - PLOT.left > 10) context.fillText(tick.label, Math.min(at, width - 26), height - PLOT.bottom + 7);
    }
    context.save();
    context.beginPath();
    context.rect(PLOT.left, PLOT.top, plotWidth, plotHeight);
    context.clip();
    const most = drawn.reduce((max, { values }) => values.reduce((a, b) => Math.max(a, b), max), 0);
    for (const column of drawn) {
      if (column.to < from || column.from > to) continue;
      const left = x(column.from);
      const wide = Math.max(1, x(column.to) - left);
      column.rows.forEach((row, i) => {
        const value = column.values[i] ?? 0;
        context.fillStyle = ramp(theme, shade(value, most));
        const topEdge = Math.floor(y(row + 1));
        context.fillRect(Math.floor(left), topEdge, Math.ceil(wide), Math.max(1, Math.ceil(y(row)) - topEdge));
      });
    }
    context.lineJoin = "round";
    for (const { points, dash } of lines) {
      // Twice: a halo keeps the line readable over every colour of the map.
      for (const [color, thick] of [
        [cssColor("--surface"), 4],
        [cssColor("--text"), 1.5],
      ] as const) {
        context.strokeStyle = color;
        context.lineWidth = thick;
        context.setLineDash(dash ? [5, 4] : []);
        context.beginPath();
        let pen = false;
        for (const point of points) {
          if (point === null) pen = false;
          else if (pen) context.lineTo(x(point.time), y(point.at));
          else {
            context.moveTo(x(point.time), y(point.at));
            context.lineTo(x(point.time) + 0.1, y(point.at));
            pen = true;
          }
        }
        context.stroke();
      }
    }
    context.restore();
  }, [drawn, lines, low, high, ticks, shade, from, to, width, height, theme]);

  useEffect(() => {
    const place = () => {
      const mark = line.current;
      if (!mark) return;
      const time = crosshair.time;
      const shown = time !== undefined && time >= from && time <= to;
      mark.style.display = shown ? "block" : "none";
      if (shown) mark.style.left = `${PLOT.left + ((time - from) / (to - from)) * plotWidth}px`;
    };
    place();
    return crosshair.subscribe(place);
  }, [crosshair, from, to, plotWidth]);

  const timeAt = (event: PointerEvent<HTMLDivElement>) => {
    const left = event.clientX - event.currentTarget.getBoundingClientRect().left;
    const share = Math.min(1, Math.max(0, (left - PLOT.left) / plotWidth));
    return from + share * (to - from);
  };

  const onMove = (event: PointerEvent<HTMLDivElement>) => {
    const bounds = event.currentTarget.getBoundingClientRect();
    const time = timeAt(event);
    crosshair.set(time, box);
    const row = Math.floor(low + ((PLOT.top + plotHeight - (event.clientY - bounds.top)) / plotHeight) * (high - low));
    if (row >= low && row < high) {
      const column = drawn.find((c) => c.from < time && time <= c.to);
      const at = column?.rows.indexOf(row) ?? -1;
      const value = at >= 0 ? column?.values[at] : column ? 0 : undefined;
      setTip({ left: event.clientX - bounds.left, top: event.clientY - bounds.top, text: describe(row, value) });
    } else setTip(undefined);
    if (drag.current !== undefined && selection.current) {
      const [a, b] = [x(Math.min(drag.current, time)), x(Math.max(drag.current, time))];
      Object.assign(selection.current.style, { display: "block", left: `${a}px`, width: `${b - a}px` });
    }
  };

  const endDrag = (event: PointerEvent<HTMLDivElement>, take: boolean) => {
    const began = drag.current;
    drag.current = undefined;
    if (selection.current) selection.current.style.display = "none";
    if (began === undefined || !take) return;
    const ended = timeAt(event);
    if (Math.abs(x(ended) - x(began)) >= 8) zoom([Math.min(began, ended), Math.max(began, ended)]);
  };

  return (
    <div
      ref={box}
      className="heat"
      role="img"
      aria-label={`Heat map: ${label}`}
      data-cells={columns.reduce((n, c) => n + c.rows.length, 0)}
      style={{ height }}
      onPointerEnter={(event) => event.pointerType === "mouse" && hold(true)}
      onPointerMove={onMove}
      onPointerDown={(event) => {
        if (event.pointerType === "mouse" && event.button === 0) drag.current = timeAt(event);
      }}
      onPointerUp={(event) => endDrag(event, true)}
      onPointerLeave={(event) => {
        endDrag(event, false);
        setTip(undefined);
        crosshair.set(undefined, box);
        hold(false);
      }}
      onDoubleClick={() => zoom(undefined)}
    >
      <canvas ref={canvas} style={{ width: "100%", height }} />
      <div ref={line} className="line" style={{ display: "none", height: plotHeight, top: PLOT.top }} />
      <div ref={selection} className="selection" style={{ display: "none", top: PLOT.top, height: plotHeight }} />
      {tip && (
        <div
          className="tip"
          style={{ left: Math.min(tip.left + 12, Math.max(0, width - 220)), top: Math.max(0, tip.top - 32) }}
        >
          {tip.text}
        </div>
      )}
    </div>
  );
}
