import { memo, useMemo } from "react";
import { HeatMap, RampKey } from "../../charts/HeatMap";
import { type ChartSeries, TimeChart } from "../../charts/TimeChart";
import { frameOf, useView, type View } from "../../charts/view";
import type { Tick } from "../../lib/axes";
import { busyOf, CPU_STATES, shares } from "../../lib/derive";
import type { HeatCells } from "../../lib/heat";
import { helpOf } from "../../lib/schema";
import { formatValue } from "../../lib/units";
import { Panel } from "./Panel";
import { field } from "./series";

const COLORS = ["--c1", "--c6", "--c2", "--c5", "--c4", "--c8", "--c7"];
// Idle is what is left up to the top: it needs no colour of its own.
const SHOWN = CPU_STATES.filter((state) => state !== "idle");

function byState(view: View): { times: number[]; series: ChartSeries[] } {
  const frame = frameOf(view);
  const parts = shares(CPU_STATES.map((state) => frame.cells(`cpu.total.${state}_us`)));
  return {
    times: frame.times,
    series: SHOWN.map((state, i) => ({
      label: state,
      help: helpOf(`cpu.total.${state}_us`),
      color: COLORS[i] ?? "--c8",
      values: parts[CPU_STATES.indexOf(state)] ?? [],
    })),
  };
}

interface CoreMap {
  columns: HeatCells[];
  names: string[];
  ticks: Tick[];
}

function cores(view: View): CoreMap {
  const frame = frameOf(view);
  const names = view.history.instances("cpu.cores");
  const busy = names.map((name) => busyOf(CPU_STATES.map((state) => frame.cells(`cpu.cores.${state}_us`, name))));
  const columns: HeatCells[] = [];
  let before: number | undefined;
  frame.times.forEach((to, i) => {
    const rows: number[] = [];
    const values: number[] = [];
    busy.forEach((column, row) => {
      const value = column[i];
      if (typeof value !== "number") return;
      rows.push(row);
      values.push(value);
    });
    if (rows.length > 0 && before !== undefined)
      columns.push({ from: Math.max(before, to - 3 * view.history.intervalSeconds), to, rows, values });
    before = to;
  });
  // A label for every core while they fit, else for round numbers of them.
  const every = names.length <= 8 ? 1 : 2 ** Math.ceil(Math.log2(names.length / 8));
  const ticks = names.flatMap((name, i) => (i % every === 0 ? [{ at: i + 0.5, label: `CPU ${name}` }] : []));
  return { columns, names, ticks };
}

const same = (value: number) => value;

export const CpuSection = memo(function CpuSection() {
  const view = useView();
  const total = useMemo(() => byState(view), [view]);
  const map = useMemo(() => cores(view), [view]);
  const rest = useMemo(() => {
    const frame = frameOf(view);
    return {
      times: frame.times,
      queue: [
        field(frame, "cpu.processes_running", 0, "Running"),
        field(frame, "cpu.processes_blocked", 1, "Blocked on I/O"),
        field(frame, "cpu.load1", 2, "Load 1 min"),
        field(frame, "cpu.load5", 3, "Load 5 min"),
        field(frame, "cpu.load15", 5, "Load 15 min"),
      ],
      kernel: [
        field(frame, "cpu.context_switches", 0),
        field(frame, "cpu.interrupts", 1),
        field(frame, "cpu.softirqs", 3, "Soft interrupts"),
        field(frame, "cpu.forks", 2),
      ],
    };
  }, [view]);
  const describe = (row: number, value: number | undefined) =>
    `CPU ${map.names[row] ?? "?"}: ${value === undefined ? "no data" : `${formatValue(value, "ratio")} busy`}`;

  return (
    <>
      <h2 className="section-title">CPU</h2>
      <div className="grid">
        <Panel title="CPU by state" hint="share of all CPUs' time" section="cpu" testId="panel-cpu" span={8}>
          <TimeChart label="CPU by state" {...total} unit="ratio" stack max={1} height={210} />
        </Panel>
        <Panel title="Cores" hint={<RampKey low="idle" high="busy" />} section="cpu" testId="panel-cores" span={4}>
          <HeatMap
            label="busy share of every core"
            columns={map.columns}
            combine="mean"
            low={0}
            high={Math.max(1, map.names.length)}
            ticks={map.ticks}
            shade={same}
            describe={describe}
            height={232}
          />
        </Panel>
        <Panel title="Run queue and load" section="cpu">
          <TimeChart label="Run queue and load" times={rest.times} series={rest.queue} unit="count" />
        </Panel>
        <Panel title="Switches and interrupts" section="cpu">
          <TimeChart label="Switches and interrupts" times={rest.times} series={rest.kernel} unit="per_second" />
        </Panel>
      </div>
    </>
  );
});
