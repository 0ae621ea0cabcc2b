import { useEffect, useState } from "react";
import { ApiError, getStorage } from "../api/rest";
import { expectedBytes, type StorageInfo, type StorageTier } from "../api/storage";
import { DataTable } from "../components/DataTable";
import { Note } from "../components/Note";
import { ABSENT, formatAgo, formatUptime, formatValue } from "../lib/units";
import { sentence } from "../lib/words";

// How much history there is and what it takes. The backend looks once a minute at most, so asking more often tells
// nothing new.

const REFRESH_MS = 60_000;

const TIERS: Record<string, { label: string; help: string }> = {
  raw: { label: "Every value", help: "All readings as they were sent, without processes" },
  processes: { label: "Processes", help: "The processes of every snapshot" },
  minute: { label: "A value a minute", help: "Last, least, greatest, sum and count of each minute" },
};

const HEAD = [
  { label: "What" },
  { label: "Size" },
  { label: "From" },
  { label: "To" },
  { label: "Kept for", help: "Older history is deleted" },
  { label: "At most", help: "A limit of its own in bytes" },
  { label: "Expected", help: "Its size when all of that time is there, judged by what is there" },
] as const;

const MOMENT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

const at = (ms: number | undefined) => (ms === undefined ? ABSENT : MOMENT.format(ms));

function tierRow(tier: StorageTier) {
  return {
    key: tier.name,
    cells: [
      TIERS[tier.name]?.label ?? tier.name,
      formatValue(tier.bytes, "bytes"),
      at(tier.oldestMs),
      at(tier.newestMs),
      tier.keepSeconds === undefined ? "for ever" : formatUptime(tier.keepSeconds),
      tier.maxBytes === undefined ? "no limit" : formatValue(tier.maxBytes, "bytes"),
      formatValue(expectedBytes(tier), "bytes"),
    ],
  };
}

function useStorage() {
  const [state, setState] = useState<{ info?: StorageInfo; error?: string }>({});
  useEffect(() => {
    let stopped = false;
    const refresh = async () => {
      try {
        const info = await getStorage();
        if (!stopped) setState({ info });
      } catch (error) {
        if (stopped || (error instanceof ApiError && error.status === 401)) return;
        const message = error instanceof ApiError ? error.message : "The state of the storage cannot be read.";
        setState((before) => ({ info: before.info, error: message }));
      }
    };
    refresh();
    const timer = setInterval(refresh, REFRESH_MS);
    return () => {
      stopped = true;
      clearInterval(timer);
    };
  }, []);
  return state;
}

function Damage({ info }: { info: StorageInfo }) {
  const one = info.damagedTables === 1;
  const onServer = info.diskFreeBytes === undefined;
  const names = info.damaged === undefined ? "" : ` (${info.damaged})`;
  return (
    <div className="banner" data-tone="bad" role="alert" data-testid="storage-damage">
      {one ? "One table of the database is" : `${info.damagedTables} tables of the database are`} damaged{names}. What
      can still be read is served, charts show the rest as gaps, and what comes is stored. Check the disk
      {onServer ? " and the log of the database's server" : ""}, make a backup on another disk now (sonde-backend
      backup), and restore it, or an older one, into a new database.
    </div>
  );
}

function Fact({ label, value, hint, testId }: { label: string; value: string; hint?: string; testId?: string }) {
  return (
    <section className="panel span-4" aria-label={label} data-testid={testId}>
      <div className="panel-head">
        <h3>{label}</h3>
      </div>
      <p className="storage-value">{value}</p>
      {hint !== undefined && <p className="panel-note">{hint}</p>}
    </section>
  );
}

export function StoragePage() {
  const { info, error } = useStorage();
  useEffect(() => {
    document.title = "Storage · Sonde";
  }, []);
  return (
    <>
      <div className="page-head">
        <h1>Storage</h1>
        {info?.lookedAtMs !== undefined && (
          <span className="muted">looked at {formatAgo(info.lookedAtMs, Date.now())}</span>
        )}
      </div>
      {error !== undefined && (
        <div className="banner" data-tone="bad" role="alert">
          {error}
        </div>
      )}
      {info === undefined ? (
        error === undefined && <Note title="Loading what is stored…" />
      ) : (
        <>
          {info.status !== "ok" && info.status !== "" && (
            <div className="banner" data-tone="bad" role="alert" data-testid="storage-status">
              {sentence(info.status)}
            </div>
          )}
          {info.damagedTables > 0 && <Damage info={info} />}
          <div className="grid" style={{ marginBottom: 10 }}>
            <Fact
              label="Database"
              testId="storage-total"
              value={formatValue(info.totalBytes, "bytes")}
              hint={
                info.maxBytes === undefined
                  ? "With indexes and logs. No limit is set but the disk's size."
                  : `With indexes and logs; at most ${formatValue(info.maxBytes, "bytes")}.`
              }
            />
            <Fact
              label="Free on its disk"
              value={info.diskFreeBytes === undefined ? ABSENT : formatValue(info.diskFreeBytes, "bytes")}
              hint={
                info.diskFreeBytes === undefined
                  ? "The database is a server's, whose disk this backend does not see."
                  : "When it runs out, the oldest history is deleted."
              }
            />
            <Fact
              label="Waiting"
              value={formatValue(info.rowBytes, "bytes")}
              hint={`${formatValue(info.rows, "count")} snapshots that are stored but not columns yet.`}
            />
          </div>
          <section className="panel" aria-label="History" data-testid="storage-tiers">
            <div className="panel-head">
              <h3>History</h3>
              {!info.keepsHouse && (
                <span className="hint">another backend puts it together and deletes what is old</span>
              )}
            </div>
            <DataTable head={HEAD} rows={info.tiers.map(tierRow)} empty="There is no history yet." />
          </section>
        </>
      )}
    </>
  );
}
