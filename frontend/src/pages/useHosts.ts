import { useEffect, useRef, useState } from "react";
import type { HostInfo } from "../api/hostInfo";
import { summaryFromProto } from "../api/hostInfo";
import { live } from "../api/live";
import { ApiError, listHosts } from "../api/rest";

// All hosts: the list over HTTP, then changes as they come. A fleet sends hundreds of summaries a second; the page is
// told twice a second.

const REFRESH_MS = 30_000;
const FLUSH_MS = 500;
const TRAIL = 120;

export interface Trail {
  times: number[];
  values: (number | null)[];
}

export interface HostRow {
  host: HostInfo;
  trail: Trail;
}

export interface Hosts {
  /** undefined while the first answer is awaited. */
  rows: HostRow[] | undefined;
  error: string | undefined;
}

export function useHosts(): Hosts {
  const rows = useRef(new Map<string, HostRow>());
  const [state, setState] = useState<Hosts>({ rows: undefined, error: undefined });

  useEffect(() => {
    let stopped = false;
    let dirty = false;
    const known = rows.current;
    const set = (host: HostInfo, trail?: Trail) => {
      const old = known.get(host.hostId);
      known.set(host.hostId, { host, trail: trail ?? old?.trail ?? { times: [], values: [] } });
      dirty = true;
    };

    const refresh = async () => {
      try {
        const list = await listHosts();
        if (stopped) return;
        const ids = new Set(list.map((host) => host.hostId));
        for (const id of known.keys()) if (!ids.has(id)) known.delete(id);
        for (const host of list) set(host);
        setState({ rows: [...known.values()], error: undefined });
        dirty = false;
      } catch (error) {
        if (stopped || (error instanceof ApiError && error.status === 401)) return;
        const message = error instanceof ApiError ? error.message : "The list of hosts cannot be read.";
        setState((before) => ({ rows: before.rows, error: message }));
      }
    };

    const unsubscribe = live.subscribe(
      { hosts: ["*"], sections: ["summary"] },
      {
        ready: refresh,
        host: (host) => set(host),
        snapshot: ({ hostId, snapshot }, now) => {
          const row = known.get(hostId);
          if (!row || !snapshot) return;
          const summary = summaryFromProto(snapshot.summary);
          set({ ...row.host, status: "live", lastSeenMs: now, summary }, extend(row, now / 1000, summary.cpuBusy));
        },
      },
    );
    refresh();
    const refresher = setInterval(refresh, REFRESH_MS);
    const flusher = setInterval(() => {
      if (!dirty) return;
      dirty = false;
      setState((before) => ({ rows: [...known.values()], error: before.error }));
    }, FLUSH_MS);
    return () => {
      stopped = true;
      unsubscribe();
      clearInterval(refresher);
      clearInterval(flusher);
    };
  }, []);

  return state;
}

/** A new trail, so that a row knows that it changed; the line breaks where more than three intervals passed. */
function extend({ host, trail }: HostRow, time: number, value: number | undefined): Trail {
  const times = trail.times.slice(-TRAIL);
  const values = trail.values.slice(-TRAIL);
  const last = times.at(-1);
  if (last !== undefined && time - last > Math.max(5, (3 * host.intervalMs) / 1000)) {
    times.push((last + time) / 2);
    values.push(null);
  }
  times.push(time);
  values.push(value ?? null);
  return { times, values };
}
