import { expect, test } from "vitest";
import { expectedBytes, storageFromJson } from "./storage";

const ANSWER = {
  status: "ok",
  tiers: [
    {
      name: "raw",
      chunks: 12,
      bytes: 6_000_000,
      uncompacted_bytes: 1_000_000,
      oldest: "2026-11-19T00:00:00Z",
      newest: "2026-11-21T00:00:00Z",
      keep_seconds: 1_209_600,
    },
    { name: "minute", chunks: 0, bytes: 0 },
    { chunks: 3 },
    "raw",
  ],
  rows: 600,
  row_bytes: 16_000_000,
  total_bytes: "30000000",
  disk_free_bytes: 1e12,
  keeps_house: true,
  looked_at: "2026-11-21T00:00:05Z",
};

test("an answer becomes numbers and moments; what is malformed is left out", () => {
  const info = storageFromJson(ANSWER);
  expect(info?.tiers.map((tier) => tier.name)).toEqual(["raw", "minute"]);
  expect(info?.tiers[0]).toMatchObject({ bytes: 6_000_000, uncompactedBytes: 1_000_000, keepSeconds: 1_209_600 });
  expect(info?.tiers[0]?.oldestMs).toBe(Date.UTC(2026, 10, 19));
  expect(info?.tiers[1]).toMatchObject({ bytes: 0, oldestMs: undefined, keepSeconds: undefined });
  expect(info).toMatchObject({ totalBytes: 30_000_000, keepsHouse: true, maxBytes: undefined, damagedTables: 0 });
  const damaged = storageFromJson({ ...ANSWER, damaged_tables: "2", damaged: "hot, chunks" });
  expect(damaged).toMatchObject({ damagedTables: 2, damaged: "hot, chunks" });
  for (const value of [null, [], {}, { tiers: "raw" }, "x"]) expect(storageFromJson(value)).toBeUndefined();
});

test("what a tier will take is told from what it takes, within its limit", () => {
  const tier = storageFromJson(ANSWER)?.tiers[0];
  if (!tier) throw new Error("no tier");
  expect(expectedBytes(tier)).toBe(42_000_000);
  expect(expectedBytes({ ...tier, maxBytes: 20_000_000 })).toBe(20_000_000);
  expect(expectedBytes({ ...tier, keepSeconds: 86_400 })).toBe(6_000_000);
  expect(expectedBytes({ ...tier, keepSeconds: undefined })).toBeUndefined();
  expect(expectedBytes({ ...tier, oldestMs: Date.UTC(2026, 10, 20, 23) })).toBeUndefined();
});
