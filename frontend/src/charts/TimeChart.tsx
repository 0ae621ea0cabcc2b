import { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from "react";
import uPlot from "uplot";
import { clockLabel } from "../lib/axes";
import { stacked } from "../lib/derive";
import type { DisplayUnit } from "../lib/schema";
import { cssColor, useTheme } from "../lib/theme";
import type { Cell } from "../lib/timeTable";
import { axisIncrements, formatValue } from "../lib/units";
import { Legend } from "./Legend";
import { useSize } from "./useSize";
import { PLOT, useView } from "./view";

// The one place that knows uPlot. A chart is made once for its series, unit and theme; after that only data and scales
// change.

export interface ChartSeries {
  label: string;
  /** What it means: the schema's words. */
  help?: string;
  /** Name of a colour variable. */
  color: string;
  values: Cell[];
  dash?: boolean;
}

interface Props {
  label: string;
  times: number[];
  series: ChartSeries[];
  unit: DisplayUnit;
  /** Areas on top of each other instead of lines. */
  stack?: boolean;
  /** Top of the y axis; without it the data decide. */
  max?: number;
  /** The y axis reaches at least this far, so that noise near zero does not fill the chart. */
  atLeast?: number;
  height?: number;
}

/** Smallest top of an axis where nothing happens at all. */
const FLOOR: Partial<Record<DisplayUnit, number>> = { ratio: 0.01, bytes: 1024, bytes_per_second: 1024 };

interface Shape {
  series: { color: string; dash: boolean }[];
  unit: DisplayUnit;
  stack: boolean;
  label: string;
}

interface Hooks {
  point: (time: number | undefined) => void;
  zoom: (from: number, to: number) => void;
  unzoom: () => void;
  top: () => { max: number | undefined; atLeast: number };
}

function build(shape: Shape, hooks: Hooks, width: number, height: number, target: HTMLElement): uPlot {
  const muted = cssColor("--muted");
  const grid = { stroke: cssColor("--grid"), width: 1 };
  const font = "11px system-ui, sans-serif";
  const options: uPlot.Options = {
    width,
    height,
    padding: [PLOT.top, PLOT.right, 0, 0],
    legend: { show: false },
    scales: {
      x: { time: false, auto: false },
      y: {
        range: (_u, _min, dataMax) => {
          const { max, atLeast } = hooks.top();
          return [0, max ?? Math.max((dataMax ?? 0) * 1.08, atLeast, FLOOR[shape.unit] ?? 1)];
        },
      },
    },
    axes: [
      {
        stroke: muted,
        font,
        grid,
        ticks: { show: false },
        size: PLOT.bottom,
        gap: 5,
        space: 84,
        incrs: [1, 2, 5, 10, 15, 30, 60, 120, 300, 600],
        values: (_u, splits, _axis, _space, step) => splits.map((at) => clockLabel(at, step)),
      },
      {
        stroke: muted,
        font,
        grid,
        ticks: { show: false },
        size: PLOT.left,
        gap: 8,
        space: 34,
        incrs: axisIncrements(shape.unit),
        values: (_u, splits) => splits.map((value) => formatValue(value, shape.unit).replace(/\.0+(?= )/, "")),
      },
    ],
    series: [
      {},
      ...shape.series.map(({ color, dash }, i): uPlot.Series => {
        const stroke = cssColor(color);
        return {
          stroke,
          width: shape.stack ? 1 : 1.6,
          dash: dash ? [5, 4] : undefined,
          fill: shape.stack && i === 0 ? `${stroke}66` : undefined,
          points: { show: false, size: 4 },
        };
      }),
    ],
    bands: shape.stack
      ? shape.series.slice(1).map(({ color }, i) => ({ series: [i + 2, i + 1], fill: `${cssColor(color)}66` }))
      : undefined,
    cursor: {
      y: false,
      points: { size: 6 },
      drag: { x: true, y: false, setScale: false, dist: 8 },
      bind: {
        dblclick: () => () => {
          hooks.unzoom();
          return null;
        },
      },
    },
    hooks: {
      setCursor: [(u) => hooks.point((u.cursor.left ?? -1) >= 0 ? u.posToVal(u.cursor.left ?? 0, "x") : undefined)],
      setSelect: [
        (u) => {
          const { left, width: wide } = u.select;
          if (wide < 8) return;
          hooks.zoom(u.posToVal(left, "x"), u.posToVal(left + wide, "x"));
          u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
        },
      ],
    },
  };
  return new uPlot(options, [[], ...shape.series.map(() => [])], target);
}

export function TimeChart({ label, times, series, unit, stack = false, max, atLeast = 0, height = 170 }: Props) {
  const view = useView();
  const { theme } = useTheme();
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  // A panel beside a taller one gives its chart the room.
  const { width, height: room } = useSize(box);
  const tall = Math.max(height, room);
  const [hidden, setHidden] = useState<ReadonlySet<string>>(new Set());
  const { crosshair, hold, zoom } = view;
  const top = useRef({ max, atLeast });
  top.current = { max, atLeast };

  // What a chart is made of; values are not part of it.
  const signature = JSON.stringify([series.map((s) => [s.color, s.dash === true]), unit, stack, theme]);
  const ready = width > 0;

  // biome-ignore lint/correctness/useExhaustiveDependencies: the signature stands for everything the chart is made of
  useLayoutEffect(() => {
    const target = box.current;
    if (!target || !ready) return;
    const shape = { label, unit, stack, series: series.map((s) => ({ color: s.color, dash: s.dash === true })) };
    const made = build(
      shape,
      {
        point: (time) => crosshair.set(time, made),
        zoom: (from, to) => zoom([from, to]),
        unzoom: () => zoom(undefined),
        top: () => top.current,
      },
      width,
      tall,
      target,
    );
    plot.current = made;
    const unsubscribe = crosshair.subscribe((source) => {
      if (source === made) return;
      const left = crosshair.time === undefined ? -10 : made.valToPos(crosshair.time, "x");
      made.setCursor({ left: left >= 0 && left <= made.over.clientWidth ? left : -10, top: 0 }, false);
    });
    return () => {
      unsubscribe();
      plot.current = undefined;
      made.destroy();
    };
  }, [signature, ready, crosshair, zoom]);

  useLayoutEffect(() => {
    if (plot.current && width > 0) plot.current.setSize({ width, height: tall });
  }, [width, tall]);

  const data = useMemo(() => {
    const off = series.map((s) => hidden.has(s.label));
    const columns = series.map((s) => s.values);
    return stack ? stacked(columns, off) : columns.map((values, i) => (off[i] ? values.map(() => null) : values));
  }, [series, hidden, stack]);
  const [from, to] = view.span;

  // biome-ignore lint/correctness/useExhaustiveDependencies: a chart made anew needs its data again
  useEffect(() => {
    const chart = plot.current;
    if (!chart) return;
    chart.batch(() => {
      chart.setData([times, ...data] as uPlot.AlignedData, false);
      chart.setScale("x", { min: from, max: to });
    });
  }, [times, data, from, to, signature, ready, max]);

  const toggle = useCallback((name: string) => {
    setHidden((before) => {
      const next = new Set(before);
      if (!next.delete(name)) next.add(name);
      return next;
    });
  }, []);

  return (
    <>
      <Legend times={times} series={series} unit={unit} hidden={hidden} onToggle={toggle} />
      <div
        ref={box}
        className="chart"
        role="img"
        aria-label={`Chart: ${label}. ${series.map((s) => `${s.label} ${formatValue(lastOf(s.values), unit)}`).join(", ")}`}
        style={{ minHeight: height }}
        onPointerEnter={(event) => event.pointerType === "mouse" && hold(true)}
        onPointerLeave={() => hold(false)}
      />
    </>
  );
}

export function lastOf(values: readonly Cell[]): Cell {
  for (let i = values.length - 1; i >= 0; i -= 1) if (values[i] !== undefined) return values[i];
  return undefined;
}
