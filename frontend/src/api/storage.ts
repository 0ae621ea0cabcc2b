import { isObject, moment, number, text } from "../lib/json";

// What the backend keeps of history, and how much of the disk that is: GET /api/storage.

export interface StorageTier {
  name: string;
  chunks: number;
  bytes: number;
  /** Of these bytes, what waits to be put together. */
  uncompactedBytes: number;
  /** Milliseconds since 1970; undefined when nothing is kept. */
  oldestMs?: number;
  newestMs?: number;
  /** undefined: for ever. */
  keepSeconds?: number;
  /** undefined: no limit of its own. */
  maxBytes?: number;
}

export interface StorageInfo {
  /** "ok", or why the database cannot be written. */
  status: string;
  tiers: StorageTier[];
  /** Snapshots that are not columns yet. */
  rows: number;
  rowBytes: number;
  totalBytes: number;
  maxBytes?: number;
  /** undefined: the database is a server's. */
  diskFreeBytes?: number;
  keepsHouse: boolean;
  lookedAtMs?: number;
  /** Tables (of a server's database also indexes) of which something cannot be read. */
  damagedTables: number;
  /** Their names, for people. */
  damaged?: string;
}

function tierFromJson(value: unknown): StorageTier | undefined {
  if (!isObject(value)) return undefined;
  const name = text(value, "name");
  if (!name) return undefined;
  return {
    name,
    chunks: number(value, "chunks") ?? 0,
    bytes: number(value, "bytes") ?? 0,
    uncompactedBytes: number(value, "uncompacted_bytes") ?? 0,
    oldestMs: moment(value, "oldest"),
    newestMs: moment(value, "newest"),
    keepSeconds: number(value, "keep_seconds"),
    maxBytes: number(value, "max_bytes"),
  };
}

/** undefined where the answer is none of GET /api/storage. */
export function storageFromJson(value: unknown): StorageInfo | undefined {
  if (!isObject(value) || !Array.isArray(value.tiers)) return undefined;
  return {
    status: text(value, "status") ?? "",
    tiers: value.tiers.map(tierFromJson).filter((tier) => tier !== undefined),
    rows: number(value, "rows") ?? 0,
    rowBytes: number(value, "row_bytes") ?? 0,
    totalBytes: number(value, "total_bytes") ?? 0,
    maxBytes: number(value, "max_bytes"),
    diskFreeBytes: number(value, "disk_free_bytes"),
    keepsHouse: value.keeps_house === true,
    lookedAtMs: moment(value, "looked_at"),
    damagedTables: number(value, "damaged_tables") ?? 0,
    damaged: text(value, "damaged"),
  };
}

/** A tier at its present size a second of history, over all the time it is kept; undefined before there is a day to judge by. */
export function expectedBytes(tier: StorageTier): number | undefined {
  if (tier.keepSeconds === undefined || tier.oldestMs === undefined || tier.newestMs === undefined) return undefined;
  const seconds = (tier.newestMs - tier.oldestMs) / 1000;
  if (seconds < 86_400) return undefined;
  const whole = tier.bytes * Math.max(1, tier.keepSeconds / seconds);
  return tier.maxBytes === undefined ? whole : Math.min(whole, tier.maxBytes);
}
