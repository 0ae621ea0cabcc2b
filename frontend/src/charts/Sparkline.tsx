import { useEffect, useRef } from "react";
import { cssColor, useTheme } from "../lib/theme";
import type { Cell } from "../lib/timeTable";
import { prepareCanvas, useWidth } from "./useSize";

interface Props {
  times: readonly number[];
  values: readonly Cell[];
  from: number;
  to: number;
  /** Top of the scale; without it the largest value. */
  max?: number;
  color?: string;
  height?: number;
}

/** A line without axes: how a number got where it is. Decoration for the number beside it. */
export function Sparkline({ times, values, from, to, max, color = "--c1", height = 28 }: Props) {
  const ref = useRef<HTMLCanvasElement>(null);
  const box = useRef<HTMLDivElement>(null);
  const width = useWidth(box);
  const { theme } = useTheme();

  // biome-ignore lint/correctness/useExhaustiveDependencies: the theme decides what the colour's name means
  useEffect(() => {
    const canvas = ref.current;
    const context = canvas && width > 0 ? prepareCanvas(canvas, width, height) : undefined;
    if (!context || to <= from) return;
    const top = max ?? Math.max(1e-9, ...values.filter((v) => typeof v === "number"));
    const x = (time: number) => ((time - from) / (to - from)) * width;
    const y = (value: number) => height - 1.5 - Math.min(1, value / top) * (height - 4);
    const stroke = cssColor(color);
    context.strokeStyle = stroke;
    context.fillStyle = stroke;
    context.lineWidth = 1.4;
    context.lineJoin = "round";
    let run: [number, number][] = [];
    const flush = () => {
      const first = run[0];
      const last = run.at(-1);
      if (first && last) {
        context.beginPath();
        for (const [px, py] of run) context.lineTo(px, py);
        context.stroke();
        context.lineTo(last[0], height);
        context.lineTo(first[0], height);
        context.globalAlpha = 0.13;
        context.fill();
        context.globalAlpha = 1;
      }
      run = [];
    };
    times.forEach((time, i) => {
      const value = values[i];
      if (value === null) flush();
      else if (value !== undefined) run.push([x(time), y(value)]);
    });
    flush();
  }, [times, values, from, to, max, color, width, height, theme]);

  return (
    <div ref={box} className="sparkline" style={{ height }} aria-hidden="true">
      <canvas ref={ref} style={{ width: "100%", height }} />
    </div>
  );
}
