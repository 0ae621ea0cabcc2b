import type { HostInfo, HostSummary } from "../api/hostInfo";

// Filtering and ordering of the host list.

export const SORTS = ["name", "status", "cpu", "load", "memory", "disk", "network", "uptime"] as const;
export type Sort = (typeof SORTS)[number];

const STATUS_ORDER = { live: 0, stale: 1, offline: 2, unknown: 3 } as const;

/** Every word must be found in the name, the system or the status. */
export function matches(host: HostInfo, query: string): boolean {
  const text = [host.hostname, host.status, host.facts.os, host.facts.kernel, host.facts.architecture]
    .filter((part) => part !== undefined)
    .join(" ")
    .toLowerCase();
  return query
    .toLowerCase()
    .split(/\s+/)
    .every((word) => text.includes(word));
}

function sum(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined && b === undefined ? undefined : (a ?? 0) + (b ?? 0);
}

const NUMBER: Partial<Record<Sort, (summary: HostSummary) => number | undefined>> = {
  cpu: (s) => s.cpuBusy,
  load: (s) => s.load1,
  memory: (s) => s.memoryUsed,
  disk: (s) => s.diskUtilisation,
  network: (s) => sum(s.networkReceive, s.networkTransmit),
  uptime: (s) => s.uptime,
};

function byName(a: HostInfo, b: HostInfo): number {
  return a.hostname.localeCompare(b.hostname, "en", { numeric: true });
}

/** A sorted copy; hosts without the number come last either way, equal ones by name. */
export function sortHosts(hosts: readonly HostInfo[], sort: Sort, descending: boolean): HostInfo[] {
  const sign = descending ? -1 : 1;
  const key = NUMBER[sort];
  return [...hosts].sort((a, b) => {
    if (sort === "name") return sign * byName(a, b);
    if (!key) return sign * (STATUS_ORDER[a.status] - STATUS_ORDER[b.status]) || byName(a, b);
    const [x, y] = [key(a.summary), key(b.summary)];
    if (x === undefined || y === undefined) return Number(x === undefined) - Number(y === undefined) || byName(a, b);
    return sign * (x - y) || byName(a, b);
  });
}
