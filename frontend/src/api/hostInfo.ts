import { type Host, Host_Status } from "../gen/sonde/v1/query_pb";
import { type Summary, SummarySchema } from "../gen/sonde/v1/summary_pb";
import { isObject, moment, number, text } from "../lib/json";
import { present } from "../lib/presence";

// A host as lists show it, from either wire: REST's JSON (proto field names, lower-case enums, RFC 3339) or the
// WebSocket's protobuf.

export type HostStatus = "live" | "stale" | "offline" | "unknown";

export interface HostSummary {
  cpuBusy?: number;
  load1?: number;
  cpus?: number;
  memoryUsed?: number;
  memoryTotal?: number;
  swapUsed?: number;
  diskUtilisation?: number;
  diskRead?: number;
  diskWrite?: number;
  networkReceive?: number;
  networkTransmit?: number;
  uptime?: number;
}

export interface HostInfo {
  hostId: string;
  hostname: string;
  status: HostStatus;
  lastSeenMs?: number;
  intervalMs: number;
  clockSkewMs?: number;
  warning?: string;
  facts: {
    agentVersion?: string;
    kernel?: string;
    architecture?: string;
    os?: string;
    cpus?: number;
    memoryBytes?: number;
    cpuModel?: string;
  };
  summary: HostSummary;
}

const SUMMARY_FIELDS = {
  cpuBusy: "cpuBusyRatio",
  load1: "load1",
  cpus: "cpusOnline",
  memoryUsed: "memoryUsedRatio",
  memoryTotal: "memoryTotalBytes",
  swapUsed: "swapUsedRatio",
  diskUtilisation: "diskUtilisationRatio",
  diskRead: "diskReadBytesPerSecond",
  diskWrite: "diskWriteBytesPerSecond",
  networkReceive: "networkReceiveBytesPerSecond",
  networkTransmit: "networkTransmitBytesPerSecond",
  uptime: "uptimeSeconds",
} as const satisfies Record<keyof HostSummary, keyof Summary>;

const SUMMARY_ENTRIES = Object.entries(SUMMARY_FIELDS) as [
  keyof HostSummary,
  (typeof SUMMARY_FIELDS)[keyof HostSummary],
][];

export function summaryFromProto(summary: Summary | undefined): HostSummary {
  const out: HostSummary = {};
  for (const [key, field] of SUMMARY_ENTRIES) {
    const value = present(summary, field);
    if (value !== undefined) out[key] = value;
  }
  return out;
}

const STATUS: Record<Host_Status, HostStatus> = {
  [Host_Status.UNSPECIFIED]: "unknown",
  [Host_Status.LIVE]: "live",
  [Host_Status.STALE]: "stale",
  [Host_Status.OFFLINE]: "offline",
};

export function hostFromProto(host: Host): HostInfo {
  const facts = host.facts;
  const seen = host.lastSeen;
  const memory = present(facts, "memoryBytes");
  const skew = present(host, "clockSkewMs");
  return {
    hostId: host.hostId,
    hostname: host.hostname,
    status: STATUS[host.status] ?? "unknown",
    lastSeenMs: seen ? Number(seen.seconds) * 1000 + seen.nanos / 1e6 : undefined,
    intervalMs: present(host, "intervalMs") ?? 1000,
    clockSkewMs: skew === undefined ? undefined : Number(skew),
    warning: present(host, "warning"),
    facts: {
      agentVersion: present(facts, "agentVersion"),
      kernel: present(facts, "kernel"),
      architecture: present(facts, "architecture"),
      os: present(facts, "os"),
      cpus: present(facts, "cpus"),
      memoryBytes: memory === undefined ? undefined : Number(memory),
      cpuModel: present(facts, "cpuModel"),
    },
    summary: summaryFromProto(host.summary),
  };
}

// The proto field names of the summary, from the descriptor: they are what JSON carries.
const JSON_NAMES = new Map(SummarySchema.fields.map((field) => [field.localName, field.name]));

/** A host of REST's JSON; undefined where it lacks what identifies it. */
export function hostFromJson(value: unknown): HostInfo | undefined {
  if (!isObject(value)) return undefined;
  const hostname = text(value, "hostname");
  if (!hostname) return undefined;
  const facts = isObject(value.facts) ? value.facts : {};
  const json = isObject(value.summary) ? value.summary : {};
  const summary: HostSummary = {};
  for (const [key, field] of SUMMARY_ENTRIES) {
    const found = number(json, JSON_NAMES.get(field) ?? "");
    if (found !== undefined) summary[key] = found;
  }
  const status = text(value, "status");
  return {
    hostId: text(value, "host_id") ?? hostname,
    hostname,
    status: status === "live" || status === "stale" || status === "offline" ? status : "unknown",
    lastSeenMs: moment(value, "last_seen"),
    intervalMs: number(value, "interval_ms") ?? 1000,
    clockSkewMs: number(value, "clock_skew_ms"),
    warning: text(value, "warning"),
    facts: {
      agentVersion: text(facts, "agent_version"),
      kernel: text(facts, "kernel"),
      architecture: text(facts, "architecture"),
      os: text(facts, "os"),
      cpus: number(facts, "cpus"),
      memoryBytes: number(facts, "memory_bytes"),
      cpuModel: text(facts, "cpu_model"),
    },
    summary,
  };
}
