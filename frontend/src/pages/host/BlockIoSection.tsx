import { useNavigate, useSearch } from "@tanstack/react-router";
import { memo, useMemo } from "react";
import { type HeatCells, type HeatLine, HeatMap, RampKey } from "../../charts/HeatMap";
import { useView } from "../../charts/view";
import { DataTable } from "../../components/DataTable";
import { Note } from "../../components/Note";
import { Segmented } from "../../components/Segmented";
import { latencyTicks } from "../../lib/axes";
import { bucketHigh, bucketLow, mergeBuckets } from "../../lib/histogram";
import {
  LATENCIES,
  type Latency,
  mergeColumns,
  OPERATIONS,
  pairs,
  quantileLine,
  rowSpan,
  summarise,
} from "../../lib/latency";
import { present } from "../../lib/presence";
import { helpOf } from "../../lib/schema";
import { formatDuration, formatValue } from "../../lib/units";
import { Panel } from "./Panel";

const LATENCY_LABELS: Record<Latency, string> = { device: "Device", request: "Request", queue: "Queue" };

export const BlockIoSection = memo(function BlockIoSection() {
  const view = useView();
  const { device, op, latency = "device" } = useSearch({ from: "/shell/hosts/$hostname" });
  const navigate = useNavigate({ from: "/hosts/$hostname" });
  const choose = (change: { device?: string; op?: string; latency?: Latency }) =>
    navigate({ search: (old) => ({ ...old, ...change }), replace: true, resetScroll: false });

  const { history, span } = view;
  const [from, to] = span;
  const path = `${OPERATIONS}.${latency}_latency_ns`;

  const names = useMemo(() => {
    const { history } = view;
    const leaf = new Set(
      history
        .section("blockIo")
        ?.devices.filter((d) => present(d, "leaf"))
        .map((d) => d.device),
    );
    const devices = history.instances("block_io.devices");
    const operations = [...new Set(devices.flatMap((name) => history.instances(OPERATIONS, name)))].sort();
    return { devices, leaves: devices.filter((name) => leaf.has(name)), operations };
  }, [view]);

  const selected = useMemo(() => (device === undefined ? names.leaves : [device]), [device, names]);
  const map = useMemo(() => {
    const columns = mergeColumns(
      pairs(view.history, selected, op).map(([d, o]) => view.history.heatColumns(path, d, o)),
      from,
      to,
    );
    const [low, high] = rowSpan(columns);
    const most = columns.reduce((max, { buckets }) => Math.max(max, ...buckets.counts), 1);
    const cells: HeatCells[] = columns.map((column) => ({
      from: column.from,
      to: column.to,
      rows: column.buckets.indexes,
      values: column.buckets.counts,
    }));
    const lines: HeatLine[] = [
      { label: "p50", dash: false, points: quantileLine(columns, 0.5) },
      { label: "p99", dash: true, points: quantileLine(columns, 0.99) },
    ];
    const total = columns.reduce((sum, column) => sum + column.buckets.total, 0);
    return { cells, lines, low, high, most, total, ticks: latencyTicks(low, high) };
  }, [view, selected, op, path, from, to]);

  const shade = useMemo(() => {
    const scale = Math.log1p(map.most);
    return (count: number) => 0.08 + (0.92 * Math.log1p(count)) / scale;
  }, [map.most]);
  const describe = (row: number, count: number | undefined) =>
    `${formatDuration(bucketLow(row) / 1e9)} to ${formatDuration(bucketHigh(row) / 1e9)}: ${
      count === undefined ? "no data" : `${count} ${count === 1 ? "operation" : "operations"}`
    }`;

  const rows = names.operations.map((operation) => {
    const series = pairs(history, selected, operation);
    const columns = mergeColumns(
      series.map(([d, o]) => history.heatColumns(path, d, o)),
      from,
      to,
    );
    const all = summarise(mergeBuckets(columns.map((column) => column.buckets)));
    const rate = sum(series.map(([d, o]) => history.latest(`${OPERATIONS}.operations`, d, o)));
    const bytes = sum(series.map(([d, o]) => history.latest(`${OPERATIONS}.bytes`, d, o)));
    return {
      key: operation,
      cells: [
        operation.replaceAll("_", " "),
        formatValue(rate, "per_second"),
        formatValue(bytes, "bytes_per_second"),
        formatValue(all.p50, "seconds"),
        formatValue(all.p99, "seconds"),
        formatValue(all.max, "seconds"),
      ],
    };
  });

  const section = history.section("blockIo");
  const attach = present(section, "attach");
  const untraced = sum(selected.map((name) => history.latest("block_io.devices.untraced_operations", name)));

  return (
    <>
      <h2 className="section-title">Block I/O latency</h2>
      <div className="grid">
        <Panel
          title="Latency of block requests"
          hint={attach === undefined ? "traced in the kernel" : `traced in the kernel through ${attach}`}
          section="block_io"
          testId="panel-block-io"
          span={12}
        >
          <div className="controls">
            <Segmented
              label="Which latency"
              options={LATENCIES.map((name) => ({
                value: name,
                label: LATENCY_LABELS[name],
                help: helpOf(`${OPERATIONS}.${name}_latency_ns`),
              }))}
              value={latency}
              onChange={(value) => choose({ latency: value })}
            />
            <label>
              Device
              <select
                className="select"
                value={device ?? ""}
                onChange={(event) => choose({ device: event.target.value || undefined })}
              >
                <option value="">All disks</option>
                {withChosen(names.devices, device).map((name) => (
                  <option key={name}>{name}</option>
                ))}
              </select>
            </label>
            <label>
              Operation
              <select
                className="select"
                value={op ?? ""}
                onChange={(event) => choose({ op: event.target.value || undefined })}
              >
                <option value="">All operations</option>
                {withChosen(names.operations, op).map((name) => (
                  <option key={name} value={name}>
                    {name.replaceAll("_", " ")}
                  </option>
                ))}
              </select>
            </label>
          </div>
          <p className="panel-note">
            {LATENCY_LABELS[latency]} latency: {lowerFirst(helpOf(path))}.
          </p>
          <div className="split">
            <div>
              {map.total === 0 ? (
                <div data-testid="block-io-quiet">
                  <Note title="No block I/O completed in this time.">
                    The probe is running; the map fills with the next requests.
                  </Note>
                </div>
              ) : (
                <div data-testid="block-io-map">
                  <HeatMap
                    label={`${latency} latency of ${op ?? "all operations"} on ${device ?? "all disks"}`}
                    columns={map.cells}
                    lines={map.lines}
                    low={map.low}
                    high={map.high}
                    ticks={map.ticks}
                    shade={shade}
                    describe={describe}
                    height={270}
                  />
                </div>
              )}
              <div className="controls" style={{ paddingLeft: 66 }}>
                <RampKey low="1" high={`${formatValue(map.most, "count")} per tick`} />
                <span className="ramp">
                  <LineKey /> p50
                </span>
                <span className="ramp">
                  <LineKey dash /> p99
                </span>
              </div>
            </div>
            <div>
              <DataTable
                head={[
                  { label: "Operation" },
                  { label: "Rate", help: helpOf(`${OPERATIONS}.operations`) },
                  { label: "Bytes", help: helpOf(`${OPERATIONS}.bytes`) },
                  { label: "p50", help: "Half of the requests in the time shown were faster" },
                  { label: "p99", help: "99 of 100 requests in the time shown were faster" },
                  { label: "Max", help: "Upper end of the slowest bucket in the time shown" },
                ]}
                rows={rows}
                empty="No operation has been traced yet."
              />
              {untraced !== undefined && (
                <p className="panel-note" title={helpOf("block_io.devices.untraced_operations")}>
                  {untraced === 0
                    ? "Every operation in /proc/diskstats was traced."
                    : `${formatValue(untraced, "count")} operations in /proc/diskstats were not traced.`}
                </p>
              )}
            </div>
          </div>
        </Panel>
      </div>
    </>
  );
});

function LineKey({ dash }: { dash?: boolean }) {
  return (
    <svg width="22" height="6" aria-hidden="true">
      <path d="M0 3h22" stroke="currentColor" strokeWidth="1.8" strokeDasharray={dash ? "5 4" : undefined} />
    </svg>
  );
}

/** A link may name what this host does not have (any more): it stays choosable, so that the map says so. */
function withChosen(names: readonly string[], chosen: string | undefined): readonly string[] {
  return chosen === undefined || names.includes(chosen) ? names : [...names, chosen];
}

function sum(values: readonly (number | undefined)[]): number | undefined {
  const known = values.filter((value) => value !== undefined);
  return known.length === 0 ? undefined : known.reduce((a, b) => a + b, 0);
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}
