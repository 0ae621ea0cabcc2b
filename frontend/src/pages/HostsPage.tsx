import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { memo, type ReactNode, useEffect, useMemo, useRef } from "react";
import { Sparkline } from "../charts/Sparkline";
import { Meter } from "../components/Meter";
import { Note } from "../components/Note";
import { StatusLabel } from "../components/StatusLabel";
import { matches, type Sort, sortHosts } from "../lib/hostList";
import { helpOf } from "../lib/schema";
import { formatAgo, formatUptime, formatValue } from "../lib/units";
import { type HostRow, useHosts } from "./useHosts";

const COLUMNS: { sort: Sort; label: string; help?: string; optional?: boolean }[] = [
  { sort: "status", label: "Status" },
  { sort: "name", label: "Host" },
  { sort: "cpu", label: "CPU", help: helpOf("summary.cpu_busy_ratio") },
  { sort: "load", label: "Load", help: helpOf("summary.load1"), optional: true },
  { sort: "memory", label: "Memory", help: helpOf("summary.memory_used_ratio") },
  { sort: "disk", label: "Disk", help: helpOf("summary.disk_utilisation_ratio") },
  { sort: "network", label: "Network", help: helpOf("summary.network_receive_bytes_per_second") },
  { sort: "uptime", label: "Up", help: helpOf("summary.uptime_seconds"), optional: true },
];
const TRAIL_SECONDS = 60;

export function HostsPage() {
  const { q = "", sort = "name", desc = false } = useSearch({ from: "/shell/hosts" });
  const navigate = useNavigate({ from: "/hosts" });
  const { rows, error } = useHosts();
  const filter = useRef<HTMLInputElement>(null);

  useEffect(() => {
    document.title = "Hosts · Sonde";
    const onKey = (event: KeyboardEvent) => {
      const typing = event.target instanceof HTMLElement && event.target.closest("input, textarea, select");
      if (event.key !== "/" || typing || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      filter.current?.focus();
    };
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  }, []);

  const shown = useMemo(() => {
    const byId = new Map(rows?.map((row) => [row.host.hostId, row]));
    const hosts = sortHosts(rows?.map((row) => row.host).filter((host) => matches(host, q)) ?? [], sort, desc);
    return hosts.map((host) => byId.get(host.hostId)).filter((row) => row !== undefined);
  }, [rows, q, sort, desc]);
  const liveCount = rows?.filter((row) => row.host.status === "live").length ?? 0;

  const sortBy = (next: Sort) =>
    navigate({
      search: (old) => ({
        ...old,
        sort: next,
        desc: next === sort ? !desc || undefined : next !== "name" || undefined,
      }),
      replace: true,
    });

  return (
    <>
      <div className="page-head">
        <h1>Hosts</h1>
        {rows && rows.length > 0 && (
          <span className="muted">
            {rows.length === 1 ? "1 host" : `${rows.length} hosts`}, {liveCount} live
          </span>
        )}
        <span className="spacer" />
        <div className="toolbar">
          <input
            ref={filter}
            className="input"
            type="search"
            placeholder="Filter by name, system or status  ( / )"
            aria-label="Filter hosts"
            data-testid="hosts-filter"
            value={q}
            onChange={(event) =>
              navigate({ search: (old) => ({ ...old, q: event.target.value || undefined }), replace: true })
            }
          />
        </div>
      </div>
      {error !== undefined && (
        <div className="banner" data-tone="bad" role="alert">
          {error}
        </div>
      )}
      {rows === undefined ? (
        error === undefined && <Note title="Loading the hosts…" />
      ) : rows.length === 0 ? (
        <Note title="No host has reported yet.">
          Start an agent with this backend's address and an agent key; it appears here with its first snapshot.
        </Note>
      ) : shown.length === 0 ? (
        <Note title="No host matches the filter.">There are {rows.length} without it.</Note>
      ) : (
        <div className="hosts" role="table" aria-label="Hosts" aria-rowcount={shown.length + 1}>
          <div className="hosts-row hosts-head" role="row">
            {COLUMNS.map((column) => (
              <span
                key={column.sort}
                role="columnheader"
                className={column.optional ? "opt" : undefined}
                aria-sort={sort === column.sort ? (desc ? "descending" : "ascending") : "none"}
              >
                <button type="button" title={column.help} onClick={() => sortBy(column.sort)}>
                  {column.label}
                  <span aria-hidden="true">{sort === column.sort ? (desc ? " ↓" : " ↑") : ""}</span>
                </button>
              </span>
            ))}
          </div>
          {shown.map((row) => (
            <Row key={row.host.hostId} row={row} />
          ))}
        </div>
      )}
    </>
  );
}

function Cell({
  label,
  wide,
  optional,
  children,
}: {
  label: string;
  wide?: boolean;
  optional?: boolean;
  children: ReactNode;
}) {
  return (
    <div role="cell" className={["cell-value", wide && "cell-wide", optional && "opt"].filter(Boolean).join(" ")}>
      <span className="cell-label">{label}</span>
      {children}
    </div>
  );
}

const Row = memo(function Row({ row: { host, trail } }: { row: HostRow }) {
  const { summary, facts } = host;
  const end = trail.times.at(-1) ?? 0;
  const disk = `R ${formatValue(summary.diskRead, "bytes_per_second")}  W ${formatValue(summary.diskWrite, "bytes_per_second")}`;
  return (
    <div
      className="hosts-row hosts-item"
      role="row"
      data-testid={`host-row-${host.hostname}`}
      data-status={host.status}
    >
      <div role="cell" className="hosts-status">
        <StatusLabel status={host.status} />
      </div>
      <div role="cell" className="hosts-name">
        <Link to="/hosts/$hostname" params={{ hostname: host.hostname }}>
          {host.hostname}
        </Link>
        <small>
          {host.status === "live" || host.lastSeenMs === undefined
            ? [facts.os, facts.kernel].filter(Boolean).join(" · ") || "\u00a0"
            : `Last heard ${formatAgo(host.lastSeenMs, Date.now())}`}
        </small>
      </div>
      <Cell label="CPU busy" wide>
        <div className="cell-cpu">
          <span data-testid="row-cpu">{formatValue(summary.cpuBusy, "ratio")}</span>
          <Sparkline times={trail.times} values={trail.values} from={end - TRAIL_SECONDS} to={end} max={1} />
        </div>
      </Cell>
      <Cell label="Load" optional>
        {summary.load1 === undefined ? formatValue(undefined, "count") : summary.load1.toFixed(2)}
      </Cell>
      <Cell label="Memory">
        {formatValue(summary.memoryUsed, "ratio")}
        <span className="cell-sub" style={{ display: "inline" }}>
          {summary.memoryTotal !== undefined && ` of ${formatValue(summary.memoryTotal, "bytes")}`}
        </span>
        <Meter value={summary.memoryUsed} />
      </Cell>
      <Cell label="Disk, busiest">
        {formatValue(summary.diskUtilisation, "ratio")}
        <span className="cell-sub" title="Bytes read and written by all disks">
          {disk}
        </span>
      </Cell>
      <Cell label="Network">
        <span title="Received">↓ {formatValue(summary.networkReceive, "bytes_per_second")}</span>
        <span className="cell-sub" title="Sent">
          ↑ {formatValue(summary.networkTransmit, "bytes_per_second")}
        </span>
      </Cell>
      <Cell label="Up" optional>
        {summary.uptime === undefined ? formatValue(undefined, "seconds") : formatUptime(summary.uptime)}
      </Cell>
    </div>
  );
});
