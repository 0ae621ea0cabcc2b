import { expect, it } from "vitest";
import { nextSearch, safeNext } from "./next";

it("goes back to a page of this site", () => {
  expect(safeNext("/hosts/web-1?window=5m")).toEqual({ next: "/hosts/web-1?window=5m" });
  expect(nextSearch("/hosts/web-1")).toEqual({ next: "/hosts/web-1" });
  expect(nextSearch("/hosts")).toEqual({});
  expect(nextSearch("/login?next=/x")).toEqual({});
});

it("never leaves it", () => {
  for (const evil of [
    "//evil.example",
    "/\\evil.example",
    "https://evil.example",
    "javascript:alert(1)",
    "/\t/evil",
    5,
    undefined,
  ])
    expect(safeNext(evil)).toEqual({});
});
