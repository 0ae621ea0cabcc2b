import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";

// WCAG AA of the colours in styles.css: 4.5:1 for text, 3:1 for graphics and the borders of controls.

const css = readFileSync(new URL("../styles.css", import.meta.url), "utf8");

function variables(selector: string): Map<string, string> {
  const start = css.indexOf(`${selector} {`);
  const block = css.slice(start, css.indexOf("}", start));
  return new Map([...block.matchAll(/--([\w-]+):\s*(#[0-9a-f]{6})/g)].map((m) => [m[1] ?? "", m[2] ?? ""]));
}

function luminance(hex: string): number {
  const [r = 0, g = 0, b = 0] = [1, 3, 5].map((at) => {
    const c = Number.parseInt(hex.slice(at, at + 2), 16) / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(a: string, b: string): number {
  const [light = 0, dark = 0] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (light + 0.05) / (dark + 0.05);
}

it("measures contrast as WCAG defines it", () => {
  expect(contrast("#000000", "#ffffff")).toBeCloseTo(21);
  expect(contrast("#777777", "#ffffff")).toBeCloseTo(4.48, 2);
});

describe.each([
  ["light", ":root"],
  ["dark", ':root[data-theme="dark"]'],
])("the %s theme", (_name, selector) => {
  const colors = variables(selector);
  const pairs: [string, string, number][] = [
    ...["text", "muted", "ok", "warn", "bad", "off"].flatMap((name): [string, string, number][] =>
      ["surface", "bg", "surface-2"].map((on) => [name, on, 4.5]),
    ),
    ["text", "warn-soft", 4.5],
    ["warn", "warn-soft", 4.5],
    ["bad", "bad-soft", 4.5],
    ["accent-text", "accent", 4.5],
    ["focus", "surface", 3],
    ["focus", "bg", 3],
    ["border-strong", "surface", 3],
    ...Array.from({ length: 8 }, (_, i): [string, string, number] => [`c${i + 1}`, "surface", 3]),
  ];
  it.each(pairs)("%s on %s reaches %d", (name, on, wanted) => {
    const [a, b] = [colors.get(name), colors.get(on)];
    expect(a && b && contrast(a, b)).toBeGreaterThanOrEqual(wanted);
  });
});
