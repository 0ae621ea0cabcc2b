import { create } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { DiskSchema } from "../gen/sonde/v1/disk_pb";
import { anyActivity, rankDisks } from "./disks";

const disk = (device: string, leaf: boolean, reads: bigint, sizeBytes = 1n << 30n) =>
  create(DiskSchema, { device, leaf, reads, writes: 0n, sizeBytes });

it("puts used leaves first and empty loop devices last", () => {
  const ranked = rankDisks([
    disk("loop0", true, 900n, 0n),
    disk("loop1", true, 0n),
    disk("dm-0", false, 5000n),
    disk("vdb", true, 10n),
    disk("vda", true, 700n),
  ]);
  expect(ranked).toEqual(["vda", "vdb", "dm-0", "loop1", "loop0"]);
});

it("does not take a device of unknown size for an empty one", () => {
  const unknown = create(DiskSchema, { device: "vdx", leaf: true, reads: 1n });
  expect(rankDisks([disk("loop1", true, 0n), unknown])).toEqual(["vdx", "loop1"]);
});

it("sees activity in any column, and none in holes or zeroes", () => {
  expect(
    anyActivity([
      [0, null],
      [undefined, 0],
    ]),
  ).toBe(false);
  expect(
    anyActivity([
      [0, null],
      [undefined, 0.1],
    ]),
  ).toBe(true);
  expect(anyActivity([])).toBe(false);
});
