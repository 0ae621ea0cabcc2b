import type { DisplayUnit } from "./schema";

// Numbers as people read them: at most three significant digits, a fixed width where a number moves, and a dash for
// what is absent (never "0").

export const ABSENT = "–";

const SI = ["", "k", "M", "G", "T", "P", "E"];
const IEC = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/** Three significant digits without an exponent: 0.012, 1.23, 12.3, 123. */
export function digits(value: number): string {
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size >= 99.95) return value.toFixed(0);
  if (size >= 9.995) return value.toFixed(1);
  if (size >= 0.9995) return value.toFixed(2);
  if (size >= 0.01) return value.toFixed(2);
  return value.toPrecision(1);
}

function scaled(value: number, base: number, names: readonly string[]): [number, string] {
  let step = 0;
  let rest = value;
  // 999.5 would print as "1000": it belongs to the next step already.
  while (Math.abs(rest) >= (base === 1000 ? 999.5 : 1023.5) && step < names.length - 1) {
    rest /= base;
    step += 1;
  }
  return [rest, names[step] ?? ""];
}

function bytes(value: number, suffix: string): string {
  const [number, name] = scaled(value, 1024, IEC);
  return `${name === "B" ? Math.round(number).toString() : digits(number)} ${name}${suffix}`;
}

function count(value: number): string {
  if (Number.isInteger(value) && Math.abs(value) < 10000) return value.toString();
  const [number, name] = scaled(value, 1000, SI);
  return `${digits(number)}${name ? ` ${name}` : ""}`;
}

/** A duration in seconds, in the unit that suits its size: 850 ns, 12.3 µs, 4.5 ms, 1.2 s. */
export function formatDuration(seconds: number): string {
  const size = Math.abs(seconds);
  if (size === 0) return "0 s";
  if (size < 0.9995e-6) return `${digits(seconds * 1e9)} ns`;
  if (size < 0.9995e-3) return `${digits(seconds * 1e6)} µs`;
  if (size < 0.9995) return `${digits(seconds * 1e3)} ms`;
  if (size < 120) return `${digits(seconds)} s`;
  return formatUptime(seconds);
}

/** A long time in its two largest units: "3 d 4 h", "5 min 12 s". */
export function formatUptime(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const parts: [number, string][] = [
    [Math.floor(whole / 86400), "d"],
    [Math.floor(whole / 3600) % 24, "h"],
    [Math.floor(whole / 60) % 60, "min"],
    [whole % 60, "s"],
  ];
  const first = parts.findIndex(([n]) => n > 0);
  if (first < 0) return "0 s";
  return parts
    .slice(first, first + 2)
    .filter(([n], i) => i === 0 || n > 0)
    .map(([n, name]) => `${n} ${name}`)
    .join(" ");
}

export function formatValue(value: number | null | undefined, unit: DisplayUnit): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return ABSENT;
  switch (unit) {
    case "ratio":
      return `${Math.abs(value) >= 0.9995 ? (value * 100).toFixed(0) : (value * 100).toFixed(1)} %`;
    case "bytes":
      return bytes(value, "");
    case "bytes_per_second":
      return bytes(value, "/s");
    case "per_second":
      return `${value === 0 ? "0" : rate(value)}/s`;
    case "seconds":
      return formatDuration(value);
    case "hertz":
      return `${count(value)}Hz`;
    case "celsius":
      return `${digits(value)} °C`;
    case "joules":
      return `${count(value)}J`;
    case "watts":
      return `${digits(value)} W`;
    case "volts":
      return `${digits(value)} V`;
    case "count":
      return count(value);
  }
}

function rate(value: number): string {
  const [number, name] = scaled(value, 1000, SI);
  return `${digits(number)}${name ? ` ${name}` : ""}`;
}

/** Steps a y axis may take: powers of two for bytes so that labels are round KiB and MiB, 1-2-5 otherwise. */
export function axisIncrements(unit: DisplayUnit): number[] {
  const steps: number[] = [];
  if (unit === "bytes" || unit === "bytes_per_second") {
    for (let e = 0; e < 60; e += 1) steps.push(2 ** e);
    return steps;
  }
  for (let e = -12; e < 16; e += 1) for (const m of [1, 2, 5]) steps.push(Number(`${m}e${e}`));
  return steps;
}

/** How long ago, in words: "just now", "12 s ago", "3 min ago". */
export function formatAgo(fromMs: number, nowMs: number): string {
  const seconds = Math.floor((nowMs - fromMs) / 1000);
  if (seconds < 2) return "just now";
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} days ago`;
}
