import { describe, expect, it } from "vitest";
import { ABSENT, axisIncrements, formatAgo, formatDuration, formatUptime, formatValue } from "./units";

describe("formatValue", () => {
  it.each([
    [0, "ratio", "0.0 %"],
    [0.0534, "ratio", "5.3 %"],
    [1, "ratio", "100 %"],
    [0, "bytes", "0 B"],
    [1023, "bytes", "1023 B"],
    [1024, "bytes", "1.00 KiB"],
    [1024 ** 3 * 15.5, "bytes", "15.5 GiB"],
    [1536, "bytes_per_second", "1.50 KiB/s"],
    [0, "per_second", "0/s"],
    [999.6, "per_second", "1.00 k/s"],
    [1234567, "per_second", "1.23 M/s"],
    [3, "count", "3"],
    [0.25, "count", "0.25"],
    [123456, "count", "123 k"],
  ] as const)("%s %s is %s", (value, unit, text) => {
    expect(formatValue(value, unit)).toBe(text);
  });

  it("shows what is absent as absent, not as zero", () => {
    expect(formatValue(undefined, "bytes")).toBe(ABSENT);
    expect(formatValue(null, "ratio")).toBe(ABSENT);
    expect(formatValue(Number.NaN, "count")).toBe(ABSENT);
  });
});

describe("times", () => {
  it("picks the unit by size", () => {
    expect(formatDuration(8.5e-7)).toBe("850 ns");
    expect(formatDuration(1.23e-5)).toBe("12.3 µs");
    expect(formatDuration(0.0045)).toBe("4.50 ms");
    expect(formatDuration(1.2)).toBe("1.20 s");
    expect(formatDuration(0)).toBe("0 s");
  });

  it("gives a long time in two units", () => {
    expect(formatUptime(3 * 86400 + 4 * 3600 + 59)).toBe("3 d 4 h");
    expect(formatUptime(3600)).toBe("1 h");
    expect(formatUptime(312)).toBe("5 min 12 s");
    expect(formatUptime(0.4)).toBe("0 s");
  });

  it("says how long ago", () => {
    expect(formatAgo(0, 900)).toBe("just now");
    expect(formatAgo(0, 12_000)).toBe("12 s ago");
    expect(formatAgo(0, 3_600_000)).toBe("1 h ago");
  });
});

it("steps bytes in powers of two", () => {
  expect(axisIncrements("bytes")).toContain(65536);
  expect(axisIncrements("ratio")).toContain(0.05);
});
