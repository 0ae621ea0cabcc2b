import { memo, type ReactNode, useContext, useMemo } from "react";
import type { HostSummary } from "../../api/hostInfo";
import { Sparkline } from "../../charts/Sparkline";
import { frameOf, useView } from "../../charts/view";
import { Meter } from "../../components/Meter";
import { helpOf } from "../../lib/schema";
import type { Cell } from "../../lib/timeTable";
import { ABSENT, formatUptime, formatValue } from "../../lib/units";
import { HostContext } from "./Panel";

interface TileProps {
  id: string;
  label: string;
  help: string;
  value: number | undefined;
  sub?: string;
  children: ReactNode;
  two?: boolean;
  chart?: ReactNode;
}

function Tile({ id, label, help, value, sub, children, two, chart }: TileProps) {
  return (
    <div className="tile" data-testid={`tile-${id}`} data-value={value ?? ""} title={help}>
      <span className="tile-label">{label}</span>
      <span className={two ? "tile-value two" : "tile-value"}>{children}</span>
      <span className="tile-sub">{sub ?? "\u00a0"}</span>
      {chart}
    </div>
  );
}

function Percent({ value }: { value: number | undefined }) {
  const text = formatValue(value, "ratio");
  const [number, unit] = text.split(" ");
  return (
    <>
      {number} {unit && <small>{unit}</small>}
    </>
  );
}

/** The first row: what to look at first. Live numbers, else the last ones the backend knows. */
export const Tiles = memo(function Tiles() {
  const view = useView();
  const info = useContext(HostContext);
  const { history, span } = view;
  const old = history.table.length === 0;
  const value = (path: string, known: keyof HostSummary) =>
    history.latest(`summary.${path}`) ?? (old ? info?.summary[known] : undefined);

  const lines = useMemo(() => {
    const frame = frameOf(view);
    const line = (path: string, color: string, max?: number) => (
      <Sparkline
        times={frame.times}
        values={frame.cells(path)}
        from={span[0]}
        to={span[1]}
        max={max}
        color={color}
        height={22}
      />
    );
    const rates = (a: Cell[], b: Cell[]) => a.map((v, i) => (typeof v === "number" ? v + (b[i] ?? 0) : v));
    return {
      cpu: line("summary.cpu_busy_ratio", "--c1", 1),
      load: line("summary.load1", "--c3"),
      memory: line("summary.memory_used_ratio", "--c4", 1),
      disk: line("summary.disk_utilisation_ratio", "--c2", 1),
      network: (
        <Sparkline
          times={frame.times}
          values={rates(
            frame.cells("summary.network_receive_bytes_per_second"),
            frame.cells("summary.network_transmit_bytes_per_second"),
          )}
          from={span[0]}
          to={span[1]}
          color="--c6"
          height={22}
        />
      ),
    };
  }, [view, span]);

  const cpu = value("cpu_busy_ratio", "cpuBusy");
  const load = value("load1", "load1");
  const cpus = value("cpus_online", "cpus");
  const memory = value("memory_used_ratio", "memoryUsed");
  const memoryTotal = value("memory_total_bytes", "memoryTotal");
  const swap = value("swap_used_ratio", "swapUsed");
  const swapTotal = history.latest("memory.swap_total_bytes");
  const disk = value("disk_utilisation_ratio", "diskUtilisation");
  const read = value("disk_read_bytes_per_second", "diskRead");
  const write = value("disk_write_bytes_per_second", "diskWrite");
  const receive = value("network_receive_bytes_per_second", "networkReceive");
  const transmit = value("network_transmit_bytes_per_second", "networkTransmit");
  const uptime = value("uptime_seconds", "uptime");
  const iowait = history.latest("summary.cpu_iowait_ratio");
  const steal = history.latest("summary.cpu_steal_ratio");

  return (
    <div className={old ? "tiles old" : "tiles"}>
      <Tile
        id="cpu"
        label="CPU busy"
        help={helpOf("summary.cpu_busy_ratio")}
        value={cpu}
        sub={
          iowait === undefined
            ? undefined
            : `wait ${formatValue(iowait, "ratio")} · steal ${formatValue(steal, "ratio")}`
        }
        chart={lines.cpu}
      >
        <Percent value={cpu} />
      </Tile>
      <Tile
        id="load"
        label="Load"
        help={helpOf("summary.load1")}
        value={load}
        sub={cpus === undefined ? undefined : `1 min, on ${formatValue(cpus, "count")} ${cpus === 1 ? "CPU" : "CPUs"}`}
        chart={lines.load}
      >
        {load === undefined ? ABSENT : load.toFixed(2)}
      </Tile>
      <Tile
        id="memory"
        label="Memory"
        help={helpOf("summary.memory_used_ratio")}
        value={memory}
        sub={memoryTotal === undefined ? undefined : `of ${formatValue(memoryTotal, "bytes")}`}
        chart={lines.memory}
      >
        <Percent value={memory} />
      </Tile>
      <Tile
        id="swap"
        label="Swap"
        help={helpOf("summary.swap_used_ratio")}
        value={swap}
        sub={
          swapTotal === 0
            ? "This host has no swap"
            : swapTotal === undefined
              ? undefined
              : `of ${formatValue(swapTotal, "bytes")}`
        }
        chart={<Meter value={swapTotal === 0 ? undefined : swap} />}
      >
        {swapTotal === 0 ? <small>None</small> : <Percent value={swap} />}
      </Tile>
      <Tile
        id="disk"
        label="Disk, busiest"
        help={helpOf("summary.disk_utilisation_ratio")}
        value={disk}
        sub={`R ${formatValue(read, "bytes_per_second")} · W ${formatValue(write, "bytes_per_second")}`}
        chart={lines.disk}
      >
        <Percent value={disk} />
      </Tile>
      <Tile
        id="network"
        label="Network"
        help={helpOf("summary.network_receive_bytes_per_second")}
        value={receive}
        two
        chart={lines.network}
      >
        <span>
          <span>in</span> {formatValue(receive, "bytes_per_second")}
        </span>
        <span>
          <span>out</span> {formatValue(transmit, "bytes_per_second")}
        </span>
      </Tile>
      <Tile
        id="uptime"
        label="Up"
        help={helpOf("summary.uptime_seconds")}
        value={uptime}
        sub={bootedAt(uptime, history.table.lastTime)}
      >
        {uptime === undefined ? ABSENT : <small className="uptime">{formatUptime(uptime)}</small>}
      </Tile>
    </div>
  );
});

function bootedAt(uptime: number | undefined, now: number | undefined): string | undefined {
  if (uptime === undefined || now === undefined) return undefined;
  const booted = new Date((now - uptime) * 1000);
  return `since ${booted.toLocaleString("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" })}`;
}
