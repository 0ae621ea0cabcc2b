// What a person does with the dashboard, in a real browser, against the real backend and agent: log in, find a host,
// watch numbers that are true, lose the backend and get it back without a reload.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, existsSync, fsyncSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, writeSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { chromium } from "playwright-core";
import { PASSWORD, Stack } from "./stack.mjs";

const BUILD = process.env.SONDE_BUILD;
const SOURCE = process.env.SONDE_SOURCE;
assert(BUILD && SOURCE, "run through ctest, or set SONDE_BUILD and SONDE_SOURCE");
const BROWSER = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(
  (path) => path && existsSync(path),
);
if (!BROWSER) {
  console.log("SKIP: no chromium on this machine (CHROMIUM may name one)");
  process.exit(77);
}
assert(existsSync(join(SOURCE, "frontend/dist/index.html")), "the dashboard is not built: npm --prefix frontend run build");

const SHOTS = join(BUILD, "screenshots");
mkdirSync(SHOTS, { recursive: true });

const FLAGS = [
  ...["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"],
  ...["--disable-background-networking", "--disable-component-update", "--disable-sync"],
];

/** Waits until `probe` gives something true; says what it waited for when it does not. */
async function until(what, probe, seconds = 20) {
  const end = Date.now() + seconds * 1000;
  let last;
  for (;;) {
    last = await probe();
    if (last) return last;
    if (Date.now() > end) throw new Error(`waited ${seconds} s in vain for: ${what}`);
    await sleep(100);
  }
}

class Dashboard {
  errors = [];
  /** Lines the browser itself writes about requests that fail on purpose. */
  excused = undefined;

  constructor(page) {
    this.page = page;
    page.on("console", (message) => {
      if (message.type() === "error" && !this.excused?.test(message.text())) this.errors.push(message.text());
    });
    page.on("pageerror", (error) => this.errors.push(String(error.stack ?? error)));
  }

  at(id) {
    return this.page.getByTestId(id);
  }
  state() {
    return this.at("connection-state").getAttribute("data-state");
  }
  async value(tile) {
    const text = await this.at(`tile-${tile}`).getAttribute("data-value");
    return text ? Number(text) : undefined;
  }
  async sequence() {
    return Number(await this.at("host-page").getAttribute("data-sequence"));
  }
  async overflow() {
    return this.page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  }
  async shot(name) {
    const { width } = this.page.viewportSize();
    await this.page.evaluate(() => window.scrollTo(0, 0));
    await this.page.screenshot({ path: join(SHOTS, `${name}-${width}.png`), fullPage: true });
  }
  noErrors(when) {
    assert.deepEqual(this.errors, [], `console errors ${when}`);
  }
}

function meminfo() {
  const text = readFileSync("/proc/meminfo", "utf8");
  const of = (name) => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(text)?.[1]) * 1024;
  return { total: of("MemTotal"), available: of("MemAvailable") };
}

/** Writes that reach a disk: fsync after each. */
function writeToDisk(milliseconds) {
  const folder = mkdtempSync(join(BUILD, "e2e-io-"));
  const file = openSync(join(folder, "data"), "w");
  const block = Buffer.alloc(64 * 1024, 7);
  const end = Date.now() + milliseconds;
  while (Date.now() < end) {
    writeSync(file, block);
    fsyncSync(file);
  }
  closeSync(file);
  rmSync(folder, { recursive: true });
}

async function logIn(ui, stack) {
  await ui.page.goto(`${stack.url}/hosts`);
  await ui.page.waitForURL(/\/login/);
  await ui.at("login-username").fill("admin");
  await ui.at("login-password").fill("not the password");
  ui.excused = /401/;
  await ui.at("login-submit").click();
  await ui.at("login-error").waitFor();
  assert.notEqual((await ui.at("login-error").innerText()).trim(), "", "a wrong password is explained");
  ui.excused = undefined;
  await ui.shot("login");
  await ui.at("login-password").fill(PASSWORD);
  await ui.at("login-submit").click();
  await ui.page.waitForURL(/\/hosts$/);
}

async function seesTheHost(ui) {
  const row = ui.at(`host-row-${hostname()}`);
  await row.waitFor({ timeout: 20_000 });
  await until("the host to be live", async () => (await row.getAttribute("data-status")) === "live");
  await until("a CPU number in the row", async () => /\d %/.test(await row.getByTestId("row-cpu").innerText()));
  assert.equal(await ui.overflow(), 0, "the host list fits the width");

  await ui.at("hosts-filter").fill("no such host anywhere");
  await row.waitFor({ state: "detached" });
  await ui.at("hosts-filter").fill(hostname());
  await row.waitFor();
  await ui.at("hosts-filter").fill("");
  await ui.shot("hosts");
  await row.getByRole("link").click();
  await ui.page.waitForURL(new RegExp(`/hosts/${hostname()}`));
}

async function seesTrueNumbers(ui) {
  await until("the live connection", async () => (await ui.state()) === "live");
  const first = await until("a sequence number", () => ui.sequence());
  const seen = { cpu: new Set(), memory: new Set() };
  await until("numbers that move", async () => {
    for (const [tile, values] of Object.entries(seen)) values.add(await ui.value(tile));
    // A saturated machine is at 100 % CPU all the time; its memory moves nevertheless.
    const moved = seen.memory.size >= 3 && (seen.cpu.size >= 3 || seen.cpu.has(1));
    return moved && (await ui.sequence()) >= first + 3;
  });

  const { total, available } = meminfo();
  const memory = await ui.value("memory");
  assert(Math.abs(memory - (1 - available / total)) < 0.05, `memory ${memory} is what /proc/meminfo says`);
  const load = Number(readFileSync("/proc/loadavg", "utf8").split(" ")[0]);
  assert(Math.abs((await ui.value("load")) - load) < 1.5, "load is what /proc/loadavg says");
  const uptime = Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]);
  assert(Math.abs((await ui.value("uptime")) - uptime) < 10, "uptime is what /proc/uptime says");

  for (const panel of ["cpu", "cores", "memory", "network", "disks", "vmstat", "agent", "perf", "block-io"])
    assert(await ui.at(`panel-${panel}`).isVisible(), `panel-${panel} is on the page`);
  for (const panel of ["cpu", "memory", "network", "disks", "vmstat", "agent"]) {
    assert.equal(await ui.at(`panel-${panel}`).getByTestId("condition").count(), 0, `panel-${panel} is measured`);
    await until(`a drawn chart in panel-${panel}`, () => hasInk(ui, `panel-${panel}`));
  }
}

/** Whether the first chart of a panel has a line or an area: pixels that are neither text grey nor transparent. */
function hasInk(ui, panel) {
  return ui.at(panel).evaluate((element) => {
    const canvas = element.querySelector("canvas");
    if (!canvas || canvas.width === 0) return false;
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let ink = 0;
    for (let i = 0; i < data.length; i += 4) {
      const [r, g, b, a] = data.subarray(i, i + 4);
      if (a > 60 && Math.max(r, g, b) - Math.min(r, g, b) > 60) ink += 1;
    }
    return ink > 20;
  });
}

async function explainsThePmu(ui) {
  const panel = ui.at("panel-perf");
  const condition = ui.at("perf-hardware").getByTestId("condition");
  if (existsSync("/sys/bus/event_source/devices/cpu")) {
    // With a PMU there are numbers, or the reason why not.
    if ((await condition.count()) === 0) assert.match(await panel.innerText(), /instructions/i);
    else assert.match(await condition.innerText(), /\w{4}.*\./s);
  } else {
    assert.equal(await condition.getAttribute("data-cause"), "unavailable");
    const words = await condition.innerText();
    assert.match(words, /PMU|hardware counter/i, "the sentence names what is missing");
    assert(words.length > 60, "it is a sentence, not a word");
  }
  // Software events count without a PMU.
  assert.match(await panel.innerText(), /context-switches\s+[\d.]+/);
}

async function seesBlockLatency(ui) {
  const panel = ui.at("panel-block-io");
  await panel.scrollIntoViewIfNeeded();
  const blocked = panel.locator('[data-cause="denied"], [data-cause="unavailable"]');
  if ((await blocked.count()) > 0) {
    const words = await blocked.innerText();
    assert(process.getuid() !== 0, `root may trace block requests, yet: ${words}`);
    console.log(`block I/O cannot be traced here, and the page says why: ${words}`);
    return;
  }
  const cells = async () => {
    const map = panel.locator(".heat");
    return (await map.count()) > 0 ? Number(await map.getAttribute("data-cells")) : 0;
  };
  await until("cells in the latency heat map", async () => {
    writeToDisk(300);
    await sleep(700);
    return (await cells()) > 0;
  });
  assert.match(await panel.innerText(), /write\s+[\d.]+.*\s(µs|ms)/s, "writes have percentiles beside the map");
  for (const latency of ["Request", "Queue", "Device"]) {
    await panel.getByRole("button", { name: latency, exact: true }).click();
    const map = panel.getByRole("img", { name: `Heat map: ${latency.toLowerCase()} latency of all operations` });
    await until(`${latency} latency in the map`, async () => Number(await map.getAttribute("data-cells")) > 0);
  }
  await panel.locator("label", { hasText: "Operation" }).locator("select").selectOption("write");
  await ui.page.waitForURL(/op=write/);
  await panel.getByRole("img", { name: "Heat map: device latency of write on" }).waitFor();
  await panel.locator("label", { hasText: "Operation" }).locator("select").selectOption("");
}

async function looksCloser(ui) {
  const chart = ui.at("panel-cpu").locator(".chart");
  await chart.scrollIntoViewIfNeeded();
  const box = await chart.boundingBox();
  const view = () => ui.at("view-state").getAttribute("data-state");
  await ui.page.mouse.move(box.x + box.width - 120, box.y + 60);
  await until("a pause while the pointer is over a chart", async () => (await view()) === "hover");
  await ui.page.mouse.down();
  await ui.page.mouse.move(box.x + box.width - 30, box.y + 60, { steps: 5 });
  await ui.page.mouse.up();
  await until("the zoomed span", async () => (await view()) === "zoom");
  await ui.page.getByRole("button", { name: "Back to live" }).click();
  await ui.page.mouse.move(4, 4);
  await until("the picture to follow again", async () => (await view()) === "following");

  await ui.page.getByRole("button", { name: "1 min", exact: true }).click();
  await ui.page.waitForURL(/window=1m/);
  await ui.page.reload();
  await until("the window from the URL after a reload", async () => {
    const button = ui.page.getByRole("button", { name: "1 min", exact: true });
    return (await button.count()) > 0 && (await button.getAttribute("aria-pressed")) === "true";
  });
  await until("live after a reload, by the cookie", async () => (await ui.state()) === "live");
}

async function survivesTheBackend(ui, stack) {
  await ui.page.evaluate(() => {
    window.neverReloaded = true;
  });
  // Frozen: silence, then a mark, then numbers again.
  stack.backend.kill("SIGSTOP");
  await until("the mark for silence", async () => (await ui.state()) === "stale", 12);
  stack.backend.kill("SIGCONT");
  await until("live after the silence", async () => (await ui.state()) === "live");

  ui.excused = /WebSocket|ERR_|Failed to load/;
  await stack.killBackend();
  await until("'reconnecting'", async () => (await ui.state()) === "reconnecting", 10);
  await until("when the next try is", async () => /in \d+ s/.test(await ui.at("connection-state").innerText()));
  assert(await ui.at("retry").isVisible(), "one may try at once");
  assert.match(await ui.page.locator(".page-head").innerText(), /Was live/, "no host is called live without a connection");
  await ui.shot("reconnecting");
  const before = await ui.sequence();
  await sleep(2500);
  await stack.startBackend();
  await until("'live' again", async () => (await ui.state()) === "live", 45);
  ui.excused = undefined;
  await until("numbers that move again", async () => (await ui.sequence()) >= before + 3, 45);
  assert.equal(await ui.page.evaluate(() => window.neverReloaded), true, "without a reload");
}

/** A page of the table that takes what comes is overwritten, as a bad disk would. */
async function readsAboutDamage(ui, stack) {
  ui.excused = /WebSocket|ERR_|Failed to load/;
  const database = join(stack.folder, "sonde.db");
  await stack.stopBackend(); // the log is folded into the file
  const last = "SELECT max(pageno) FROM dbstat WHERE name = 'hot' AND pagetype = 'leaf'";
  const ask = `import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute(sys.argv[2]).fetchone()[0])`;
  const page = Number(execFileSync("/usr/bin/python3", ["-c", ask, database, last], { encoding: "utf8" }));
  assert(page > 1, `the rows' last page is ${page}`);
  const file = openSync(database, "r+");
  writeSync(file, Buffer.alloc(4096, 0xa5), 0, 4096, (page - 1) * 4096);
  fsyncSync(file);
  closeSync(file);
  await stack.startBackend();
  await ui.page.goto(`${stack.url}/storage`);
  const banner = ui.at("storage-damage");
  await until("word of the damage", async () => {
    if (await banner.isVisible()) return true;
    await sleep(900);
    await ui.page.reload();
    await ui.at("storage-total").waitFor();
    return banner.isVisible();
  }, 60);
  const words = await banner.innerText();
  for (const expected of ["One table of the database is damaged", "hot", "make a backup", "restore it"])
    assert(words.includes(expected), `"${words}" says "${expected}"`);
  assert.equal(await ui.overflow(), 0, "the storage page fits the width");
  await ui.shot("damage");
  // All goes on.
  await ui.page.goto(`${stack.url}/hosts/${hostname()}`);
  await until("live beside the damage", async () => (await ui.state()) === "live", 45);
  const before = await ui.sequence();
  await until("numbers that move", async () => (await ui.sequence()) >= before + 2, 45);
  ui.excused = undefined;
}

async function fitsAPhone(browser, stack, cookies) {
  const context = await browser.newContext({ viewport: { width: 390, height: 844 }, hasTouch: true, colorScheme: "dark" });
  await context.addCookies(cookies);
  await context.addInitScript(() => localStorage.setItem("sonde.session", "1"));
  const ui = new Dashboard(await context.newPage());
  await ui.page.goto(`${stack.url}/hosts`);
  await ui.at(`host-row-${hostname()}`).waitFor();
  assert.equal(await ui.overflow(), 0, "the host list fits 390 px");
  await ui.shot("hosts");
  await ui.page.goto(`${stack.url}/hosts/${hostname()}?window=1m`);
  await until("numbers on the phone", () => ui.value("cpu").then((value) => value !== undefined));
  await sleep(8000);
  assert.equal(await ui.overflow(), 0, "the host page fits 390 px");
  assert.equal(await ui.page.evaluate(() => document.documentElement.dataset.theme), "dark", "as the system wishes");
  await ui.shot("host");
  ui.noErrors("on the phone");

  await ui.page.getByRole("button", { name: "Log out" }).click();
  await ui.page.waitForURL(/\/login/);
  assert.equal(await ui.overflow(), 0, "the login page fits 390 px");
  await ui.shot("login");
  await context.close();
}

/** What the page says is the database's size is what lies on the disk. */
async function seesTheStorage(ui, stack) {
  const here = ui.page.url();
  await ui.page.goto(`${stack.url}/hosts`);
  await ui.page.getByRole("link", { name: "Storage" }).click();
  await ui.page.waitForURL(/\/storage$/);
  const total = ui.at("storage-total");
  await total.waitFor();
  const [, number, unit] = /([\d.]+)\s+(B|KiB|MiB)/.exec(await total.innerText()) ?? [];
  const bytes = Number(number) * { B: 1, KiB: 1024, MiB: 1024 ** 2 }[unit];
  const files = ["sonde.db", "sonde.db-wal", "sonde.db-shm"].map((name) => join(stack.folder, name));
  const onDisk = files.reduce((sum, file) => sum + (existsSync(file) ? statSync(file).size : 0), 0);
  assert(bytes > 0 && bytes < onDisk * 2 + 1024 ** 2, `the page says ${number} ${unit}, the disk has ${onDisk} bytes`);
  const tiers = await ui.at("storage-tiers").innerText();
  for (const words of ["Every value", "Processes", "A value a minute", "14 d", "3 d", "400 d"])
    assert(tiers.includes(words), `the tiers say "${words}"`);
  assert.equal(await ui.overflow(), 0, "the storage page fits the width");
  await ui.shot("storage");
  await ui.page.goto(here);
  await until("the live connection", async () => (await ui.state()) === "live");
}

const stack = await Stack.start(BUILD, SOURCE);
const browser = await chromium.launch({ executablePath: BROWSER, args: FLAGS });
let ui;
try {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, colorScheme: "light" });
  ui = new Dashboard(await context.newPage());
  const steps = [
    ["log in, with a wrong password first", () => logIn(ui, stack)],
    ["see the host in the list", () => seesTheHost(ui)],
    ["see true numbers move", () => seesTrueNumbers(ui)],
    ["read why there are no hardware counters", () => explainsThePmu(ui)],
    ["see the latency of disk I/O", () => seesBlockLatency(ui)],
    ["see what is stored", () => seesTheStorage(ui, stack)],
    ["look closer, choose a window, reload", () => looksCloser(ui)],
    ["lose the backend and get it back", () => survivesTheBackend(ui, stack)],
    [
      "fit the whole page",
      async () => {
        assert.equal(await ui.overflow(), 0, "the host page fits 1440 px");
        await sleep(5000);
        await ui.shot("host");
        ui.noErrors("at 1440 px");
      },
    ],
    ["read about damage", () => readsAboutDamage(ui, stack)],
    ["do the same on a phone, and log out", async () => fitsAPhone(browser, stack, await context.cookies())],
  ];
  for (const [what, step] of steps) {
    const began = Date.now();
    await step();
    console.log(`ok: ${what} (${((Date.now() - began) / 1000).toFixed(1)} s)`);
  }
} catch (error) {
  console.log(error.stack);
  console.log("console errors:", ui?.errors);
  console.log(`backend:\n${stack.log("sonde-backend")}\nagent:\n${stack.log("sonde-agent")}`);
  await ui?.shot("failed").catch(() => undefined);
  process.exitCode = 1;
} finally {
  await browser.close();
  await stack.stop();
}
