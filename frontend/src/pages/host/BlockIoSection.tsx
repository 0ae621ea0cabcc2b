import { useNavigate, useSearch } from "@tanstack/react-router";
import { memo, useMemo } from "react";
import { type HeatLine, HeatMap, RampKey } from "../../charts/HeatMap";
import { useView } from "../../charts/view";
import { DataTable } from "../../components/DataTable";
import { Note } from "../../components/Note";
import { Segmented } from "../../components/Segmented";
import { latencyTicks } from "../../lib/axes";
import type { HeatCells } from "../../lib/heat";
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

/** Logarithmic: one slow request among thousands of fast ones must still be seen. */
const shade = (count: number, most: number) => 0.08 + (0.92 * Math.log1p(count)) / Math.log1p(Math.max(1, most));

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
  const byOperation = useMemo(
    () =>
      new Map(
        names.operations.map((operation) => {
          const series = pairs(view.history, selected, operation);
          return [
            operation,
            mergeColumns(
              series.map(([d, o]) => view.history.heatColumns(path, d, o)),
              from,
              to,
            ),
          ];
        }),
      ),
    [view, names, selected, path, from, to],
  );
  const map = useMemo(() => {
    const columns = mergeColumns(op === undefined ? [...byOperation.values()] : [byOperation.get(op) ?? []], from, to);
    const [low, high] = rowSpan(columns);
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
    return { cells, lines, low, high, total, ticks: latencyTicks(low, high) };
  }, [byOperation, op, from, to]);

  const describe = (row: number, count: number | undefined) =>
    `${formatDuration(bucketLow(row) / 1e9)} to ${formatDuration(bucketHigh(row) / 1e9)}: ${
      count === undefined ? "no data" : `${count} ${count === 1 ? "operation" : "operations"}`
    }`;

  const rows = names.operations.map((operation) => {
    const series = pairs(history, selected, operation);
    const columns = byOperation.get(operation) ?? [];
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
  const untraced = selected
    .map((name) => ({ name, count: history.latest("block_io.devices.untraced_operations", name) }))
    .filter((one): one is { name: string; count: number } => one.count !== undefined);

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
                    combine="sum"
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
                <RampKey low="few" high="many operations" />
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
              <Untraced devices={untraced} />
            </div>
          </div>
        </Panel>
      </div>
    </>
  );
});

/** How far what was traced agrees with the kernel's own ledger. */
function Untraced({ devices }: { devices: readonly { name: string; count: number }[] }) {
  if (devices.length === 0) return null;
  const missed = devices.filter((device) => device.count !== 0);
  return (
    <div data-testid="untraced" title={helpOf("block_io.devices.untraced_operations")}>
      {missed.length === 0 ? (
        <p className="panel-note">Every operation that /proc/diskstats counted since tracing began was traced.</p>
      ) : (
        <p className="panel-note">
          Counted by /proc/diskstats since tracing began, and not traced:{" "}
          {missed.map(({ name, count }) => `${name} ${formatValue(count, "count")}`).join(", ")}.
        </p>
      )}
    </div>
  );
}

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
