import type { Disk } from "../gen/sonde/v1/disk_pb";
import { present } from "./presence";
import type { Cell } from "./timeTable";

// Which devices deserve a line. Hosts have dozens of loop devices that never do anything.

/** Leaves that were used since boot first, by how much; then what stands on them; then the unused; then the empty. */
export function rankDisks(devices: readonly Disk[]): string[] {
  const rank = (disk: Disk): [number, number] => {
    const operations = Number((present(disk, "reads") ?? 0n) + (present(disk, "writes") ?? 0n));
    if (present(disk, "sizeBytes") === 0n) return [0, operations];
    if (operations === 0) return [1, 0];
    return [present(disk, "leaf") ? 3 : 2, operations];
  };
  return devices
    .map((disk) => ({ name: disk.device, rank: rank(disk) }))
    .sort(
      (a, b) => b.rank[0] - a.rank[0] || b.rank[1] - a.rank[1] || a.name.localeCompare(b.name, "en", { numeric: true }),
    )
    .map(({ name }) => name);
}

/** Whether anything happened: a number above zero in any of the columns. */
export function anyActivity(columns: readonly (readonly Cell[])[]): boolean {
  return columns.some((cells) => cells.some((cell) => typeof cell === "number" && cell > 0));
}
