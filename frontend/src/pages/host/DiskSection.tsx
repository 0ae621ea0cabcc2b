import { memo, useMemo } from "react";
import { type ChartSeries, TimeChart } from "../../charts/TimeChart";
import { type Frame, frameOf, useView } from "../../charts/view";
import { DataTable } from "../../components/DataTable";
import { present } from "../../lib/presence";
import { helpOf } from "../../lib/schema";
import { formatDuration, formatValue } from "../../lib/units";
import { Panel } from "./Panel";
import { perInstance } from "./series";

const LIST = "disks.devices";
const MOST_DISKS = 6;

/** Reads as a whole line, writes as a dashed one of the same colour. */
function readsAndWrites(frame: Frame, names: string[], read: string, write: string): ChartSeries[] {
  const label = (series: ChartSeries[], what: string) => series.map((s) => ({ ...s, label: `${s.label} ${what}` }));
  const reads = label(perInstance(frame, `${LIST}.${read}`, names), "read");
  const writes = label(perInstance(frame, `${LIST}.${write}`, names, true), "write");
  return reads.flatMap((series, i) => [series, ...writes.slice(i, i + 1)]);
}

export const DiskSection = memo(function DiskSection() {
  const view = useView();
  const { history } = view;
  const { names, charted, leaves } = useMemo(() => {
    const { history } = view;
    const leaf = new Set(
      history
        .section("disks")
        ?.devices.filter((d) => present(d, "leaf"))
        .map((d) => d.device),
    );
    // The busiest since boot first; a loop device without a file behind it (size 0) has no line and comes last.
    const operations = new Map(
      history
        .section("disks")
        ?.devices.map((d) => [
          d.device,
          present(d, "sizeBytes") === 0n ? -1 : Number((present(d, "reads") ?? 0n) + (present(d, "writes") ?? 0n)),
        ]),
    );
    const order = (name: string) => operations.get(name) ?? -1;
    const sorted = history.instances(LIST).sort((a, b) => order(b) - order(a));
    return { names: sorted, charted: sorted.filter((name) => order(name) >= 0), leaves: leaf };
  }, [view]);
  const data = useMemo(() => {
    const frame = frameOf(view);
    const shown = charted.slice(0, MOST_DISKS);
    return {
      times: frame.times,
      bytes: readsAndWrites(frame, shown, "read_bytes", "write_bytes"),
      operations: readsAndWrites(frame, shown, "reads", "writes"),
      busy: perInstance(frame, `${LIST}.io_time_us`, shown),
    };
  }, [view, charted]);
  const hint = charted.length > MOST_DISKS ? `busiest ${MOST_DISKS} of ${charted.length} devices` : "per device";

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
        <Panel title="Operations" hint={hint} section="disks" span={4}>
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
