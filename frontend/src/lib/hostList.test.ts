import { expect, it } from "vitest";
import type { HostInfo } from "../api/hostInfo";
import { matches, sortHosts } from "./hostList";

const host = (hostname: string, status: HostInfo["status"], cpuBusy?: number): HostInfo => ({
  hostId: hostname,
  hostname,
  status,
  intervalMs: 1000,
  facts: { os: "Debian GNU/Linux 12" },
  summary: cpuBusy === undefined ? {} : { cpuBusy },
});

const HOSTS = [host("web-10", "live", 0.2), host("web-2", "offline"), host("db-1", "stale", 0.9)];
const names = (hosts: HostInfo[]) => hosts.map((h) => h.hostname);

it("finds every word anywhere", () => {
  expect(names(HOSTS.filter((h) => matches(h, "web")))).toEqual(["web-10", "web-2"]);
  expect(names(HOSTS.filter((h) => matches(h, "DEBIAN stale")))).toEqual(["db-1"]);
  expect(HOSTS.filter((h) => matches(h, ""))).toHaveLength(3);
  expect(HOSTS.filter((h) => matches(h, "web stale"))).toHaveLength(0);
});

it("sorts names as people count", () => {
  expect(names(sortHosts(HOSTS, "name", false))).toEqual(["db-1", "web-2", "web-10"]);
});

it("puts hosts without the number last in both directions", () => {
  expect(names(sortHosts(HOSTS, "cpu", true))).toEqual(["db-1", "web-10", "web-2"]);
  expect(names(sortHosts(HOSTS, "cpu", false))).toEqual(["web-10", "db-1", "web-2"]);
});

it("sorts by status from live to offline", () => {
  expect(names(sortHosts(HOSTS, "status", false))).toEqual(["web-10", "db-1", "web-2"]);
});
