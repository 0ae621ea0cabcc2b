import { useEffect, useRef } from "react";
import type { DisplayUnit } from "../lib/schema";
import type { Cell } from "../lib/timeTable";
import { formatValue } from "../lib/units";
import type { ChartSeries } from "./TimeChart";
import { useView } from "./view";

interface Props {
  times: readonly number[];
  series: readonly ChartSeries[];
  unit: DisplayUnit;
  hidden: ReadonlySet<string>;
  onToggle: (label: string) => void;
}

/** Names, colours and the numbers under the crosshair (else the newest); a click takes a line out. */
export function Legend({ times, series, unit, hidden, onToggle }: Props) {
  const { crosshair } = useView();
  const list = useRef<HTMLUListElement>(null);

  // Written past React: the crosshair moves with the mouse, over every chart of the page.
  useEffect(() => {
    const write = () => {
      const at = crosshair.time === undefined ? undefined : nearest(times, crosshair.time);
      list.current?.querySelectorAll(".value").forEach((element, i) => {
        const values = series[i]?.values ?? [];
        element.textContent = formatValue(at === undefined ? newest(values) : values[at], unit);
      });
    };
    write();
    return crosshair.subscribe(write);
  }, [crosshair, times, series, unit]);

  return (
    <ul className="legend" ref={list}>
      {series.map(({ label, help, color, dash }) => (
        <li key={label}>
          <button type="button" aria-pressed={!hidden.has(label)} title={help} onClick={() => onToggle(label)}>
            <span className="swatch" data-dash={dash || undefined} style={{ backgroundColor: `var(${color})` }} />
            {label}
            <span className="value" />
          </button>
        </li>
      ))}
    </ul>
  );
}

function newest(values: readonly Cell[]): Cell {
  for (let i = values.length - 1; i >= 0; i -= 1) if (values[i] !== undefined) return values[i];
  return undefined;
}

/** The row whose time is closest. */
export function nearest(times: readonly number[], time: number): number | undefined {
  let low = 0;
  let high = times.length - 1;
  if (high < 0) return undefined;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((times[middle] ?? 0) < time) low = middle + 1;
    else high = middle;
  }
  const before = times[low - 1];
  return before !== undefined && time - before < (times[low] ?? 0) - time ? low - 1 : low;
}
