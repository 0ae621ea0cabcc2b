import { memo, useMemo } from "react";
import { type ChartSeries, TimeChart } from "../../charts/TimeChart";
import { type Frame, frameOf, seriesColor, useView } from "../../charts/view";
import { DataTable } from "../../components/DataTable";
import { type PerfEvent, PerfEventState } from "../../gen/sonde/v1/perf_pb";
import { ratioOf } from "../../lib/derive";
import { present } from "../../lib/presence";
import { helpOf } from "../../lib/schema";
import { formatValue } from "../../lib/units";
import { ConditionNote, Panel, useCondition } from "./Panel";
import { MOST_LINES } from "./series";

const HARDWARE = "perf.hardware.total";
const SOFTWARE = "perf.software.total";
/** Counted in nanoseconds: a share of a CPU, not a rate of events. */
const CLOCKS = new Set(["cpu-clock", "task-clock"]);

const STATE_WORDS: Record<PerfEventState, string> = {
  [PerfEventState.UNSPECIFIED]: "unknown",
  [PerfEventState.OK]: "counted",
  [PerfEventState.MULTIPLEXED]: "shared the PMU, scaled",
  [PerfEventState.NEVER_SCHEDULED]: "never got onto the PMU",
  [PerfEventState.NO_PMU]: "no PMU",
  [PerfEventState.DENIED]: "denied",
  [PerfEventState.UNSUPPORTED]: "not supported by this CPU",
  [PerfEventState.IMPLAUSIBLE]: "implausible",
  [PerfEventState.LEFT_OUT]: "left out, too few file descriptors",
};

function lines(frame: Frame, list: string, names: readonly string[]): ChartSeries[] {
  return names.slice(0, MOST_LINES).map((name, i) => ({
    label: name,
    help: helpOf(`${list}.count`),
    color: seriesColor(i),
    values: frame.cells(`${list}.count`, name),
  }));
}

function EventTable({ list, events }: { list: string; events: readonly PerfEvent[] }) {
  const { history } = useView();
  return (
    <DataTable
      head={[
        { label: "Event" },
        { label: "Rate", help: helpOf(`${list}.count`) },
        { label: "Coverage", help: helpOf(`${list}.coverage_ratio`) },
        { label: "State" },
      ]}
      rows={events.map((event) => {
        const rate = history.latest(`${list}.count`, event.event);
        const clock = CLOCKS.has(event.event);
        return {
          key: event.event,
          cells: [
            event.event,
            clock && rate !== undefined ? `${formatValue(rate / 1e9, "count")} CPUs` : formatValue(rate, "per_second"),
            formatValue(present(event, "coverageRatio"), "ratio"),
            STATE_WORDS[event.eventState] ?? STATE_WORDS[PerfEventState.UNSPECIFIED],
          ],
        };
      })}
      empty="The agent counts no events here."
      first={16}
    />
  );
}

function Hardware() {
  const view = useView();
  const data = useMemo(() => {
    const frame = frameOf(view);
    const names = view.history.instances(HARDWARE);
    const count = (name: string) => frame.cells(`${HARDWARE}.count`, name);
    const misses = names.filter((name) => name.endsWith("misses"));
    const others = names.filter((name) => !misses.includes(name) && name !== "cycles" && name !== "instructions");
    const ipc: ChartSeries = {
      label: "Instructions per cycle",
      help: "Instructions divided by cycles, over all CPUs",
      color: "--c4",
      values: ratioOf(count("instructions"), count("cycles")),
    };
    return {
      times: frame.times,
      ipc: names.includes("instructions") && names.includes("cycles") ? [ipc] : undefined,
      main: lines(
        frame,
        HARDWARE,
        names.filter((name) => name === "cycles" || name === "instructions"),
      ),
      misses: lines(frame, HARDWARE, misses),
      others: lines(frame, HARDWARE, others),
    };
  }, [view]);
  const section = "perf.hardware";
  return (
    <>
      {data.ipc && (
        <Panel title="Instructions per cycle" section={section}>
          <TimeChart label="Instructions per cycle" times={data.times} series={data.ipc} unit="count" atLeast={1} />
        </Panel>
      )}
      {data.main.length > 0 && (
        <Panel title="Cycles and instructions" section={section}>
          <TimeChart label="Cycles and instructions" times={data.times} series={data.main} unit="per_second" />
        </Panel>
      )}
      {data.misses.length > 0 && (
        <Panel title="Cache and branch misses" section={section}>
          <TimeChart label="Cache and branch misses" times={data.times} series={data.misses} unit="per_second" />
        </Panel>
      )}
      {data.others.length > 0 && (
        <Panel title="Other hardware events" section={section}>
          <TimeChart label="Other hardware events" times={data.times} series={data.others} unit="per_second" />
        </Panel>
      )}
    </>
  );
}

export const PerfSection = memo(function PerfSection() {
  const view = useView();
  const condition = useCondition("perf.hardware");
  const software = useMemo(() => {
    const frame = frameOf(view);
    const names = view.history.instances(SOFTWARE);
    return {
      times: frame.times,
      series: lines(
        frame,
        SOFTWARE,
        names.filter((name) => !CLOCKS.has(name)),
      ),
    };
  }, [view]);
  const perf = view.history.section("perf");
  const hardwareEvents = perf?.hardware?.total ?? [];
  return (
    <>
      <h2 className="section-title">Performance counters</h2>
      <div className="grid" data-testid="panel-perf">
        {condition.kind === "instead" ? (
          <section className="panel span-12" aria-label="Hardware events" data-testid="perf-hardware">
            <div className="panel-head">
              <h3>Hardware events</h3>
              <span className="hint">instructions per cycle, cache and branch misses</span>
            </div>
            <ConditionNote condition={condition} />
          </section>
        ) : (
          <>
            <Hardware />
            <Panel title="Hardware events" section="perf.hardware" span={12} testId="perf-hardware">
              <EventTable list={HARDWARE} events={hardwareEvents} />
            </Panel>
          </>
        )}
        <Panel title="Software events" hint="counted by the kernel, all CPUs" section="perf.software" span={8}>
          <TimeChart
            label="Software events"
            times={software.times}
            series={software.series}
            unit="per_second"
            height={190}
          />
        </Panel>
        <Panel title="Newest software counts" section="perf.software" span={4}>
          <EventTable list={SOFTWARE} events={perf?.software?.total ?? []} />
        </Panel>
      </div>
    </>
  );
});
