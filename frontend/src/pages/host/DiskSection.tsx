import { memo, useMemo } from "react";
import { type ChartSeries, TimeChart } from "../../charts/TimeChart";
import { type Frame, frameOf, useView } from "../../charts/view";
import { DataTable } from "../../components/DataTable";
import { anyActivity, rankDisks } from "../../lib/disks";
import { present } from "../../lib/presence";
import { helpOf } from "../../lib/schema";
import { formatDuration, formatValue } from "../../lib/units";
import { Panel } from "./Panel";
import { perInstance } from "./series";

const LIST = "disks.devices";
const MOST_DISKS = 6;
const COUNTED = ["reads", "writes", "discards", "flushes"];

/** Reads as a whole line, writes as a dashed one of the same colour. */
function readsAndWrites(
  frame: Frame,
  names: string[],
  palette: string[],
  [read, write]: readonly [string, string],
): ChartSeries[] {
  const label = (series: ChartSeries[], what: string) => series.map((s) => ({ ...s, label: `${s.label} ${what}` }));
  const reads = label(perInstance(frame, `${LIST}.${read}`, names, { palette }), "read");
  const writes = label(perInstance(frame, `${LIST}.${write}`, names, { palette, dash: true }), "write");
  return reads.flatMap((series, i) => [series, ...writes.slice(i, i + 1)]);
}

export const DiskSection = memo(function DiskSection() {
  const view = useView();
  const { history } = view;
  const data = useMemo(() => {
    const frame = frameOf(view);
    const devices = view.history.section("disks")?.devices ?? [];
    const ranked = rankDisks(devices);
    const gone = view.history.instances(LIST).filter((name) => !ranked.includes(name));
    const names = [...ranked, ...gone];
    const active = names.filter((name) => anyActivity(COUNTED.map((path) => frame.cells(`${LIST}.${path}`, name))));
    // Where nothing happens, the disk that did most stands for all.
    const shown = (active.length > 0 ? active : names.slice(0, 1)).slice(0, MOST_DISKS);
    return {
      names,
      leaves: new Set(devices.filter((d) => present(d, "leaf")).map((d) => d.device)),
      active: active.length,
      times: frame.times,
      bytes: readsAndWrites(frame, shown, names, ["read_bytes", "write_bytes"]),
      operations: readsAndWrites(frame, shown, names, ["reads", "writes"]),
      busy: perInstance(frame, `${LIST}.io_time_us`, shown, { palette: names }),
    };
  }, [view]);
  const { names, leaves, active } = data;
  const hint =
    active === 0
      ? "no device did anything in this time"
      : `${Math.min(active, MOST_DISKS)} of ${names.length} devices, those with I/O in this time`;

  const of = (name: string, path: string) => history.latest(`${LIST}.${path}`, name);
  const row = (name: string) => {
    const meanTime = (time: string, count: string) => {
      const [seconds, operations] = [of(name, time), of(name, count)];
      if (seconds === undefined || !operations) return formatValue(undefined, "seconds");
      return formatDuration(seconds / operations);
    };
    return {
      key: name,
      cells: [
        leaves.has(name) ? name : `${name} (stacked, not in totals)`,
        formatValue(of(name, "io_time_us"), "ratio"),
        formatValue(of(name, "read_bytes"), "bytes_per_second"),
        formatValue(of(name, "write_bytes"), "bytes_per_second"),
        formatValue(of(name, "reads"), "per_second"),
        formatValue(of(name, "writes"), "per_second"),
        meanTime("read_time_us", "reads"),
        meanTime("write_time_us", "writes"),
        formatValue(of(name, "in_flight"), "count"),
        formatValue(of(name, "weighted_io_time_us"), "count"),
        formatValue(of(name, "size_bytes"), "bytes"),
      ],
    };
  };

  return (
    <>
      <h2 className="section-title">Disks</h2>
      <div className="grid" data-testid="panel-disks">
        <Panel title="Throughput" hint={hint} section="disks" span={4}>
          <TimeChart label="Disk throughput" times={data.times} series={data.bytes} unit="bytes_per_second" />
        </Panel>
        <Panel title="Operations" hint="reads and writes" section="disks" span={4}>
          <TimeChart label="Disk operations" times={data.times} series={data.operations} unit="per_second" />
        </Panel>
        <Panel title="Utilisation" hint="time with work in flight" section="disks" span={4}>
          <TimeChart label="Disk utilisation" times={data.times} series={data.busy} unit="ratio" max={1} />
        </Panel>
        <Panel title="Devices" section="disks" span={12}>
          <DataTable
            head={[
              { label: "Device" },
              { label: "Busy", help: helpOf(`${LIST}.io_time_us`) },
              { label: "Read", help: helpOf(`${LIST}.read_bytes`) },
              { label: "Written", help: helpOf(`${LIST}.write_bytes`) },
              { label: "Reads", help: helpOf(`${LIST}.reads`) },
              { label: "Writes", help: helpOf(`${LIST}.writes`) },
              {
                label: "Read time",
                help: "Mean time of a read, /proc/diskstats; the heat map below has the distribution",
              },
              { label: "Write time", help: "Mean time of a write" },
              { label: "In flight", help: helpOf(`${LIST}.in_flight`) },
              { label: "Queue", help: "Mean operations in flight" },
              { label: "Size", help: helpOf(`${LIST}.size_bytes`) },
            ]}
            rows={names.map(row)}
            empty="This host has no block devices."
            first={6}
          />
        </Panel>
      </div>
    </>
  );
});
