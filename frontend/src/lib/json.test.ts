import { expect, test } from "vitest";
import { isObject, moment, number, text } from "./json";

const object = {
  t: "x",
  n: 3,
  s: "18446744073709551615",
  e: "",
  w: "1x",
  i: Number.NaN,
  o: {},
  at: "2026-11-21T18:00:00.5Z",
};

test("only what has the type is there", () => {
  expect(text(object, "t")).toBe("x");
  expect(text(object, "n")).toBeUndefined();
  expect(text(object, "absent")).toBeUndefined();
  expect(number(object, "n")).toBe(3);
  expect(number(object, "s")).toBe(2 ** 64);
  for (const key of ["e", "w", "i", "o", "absent"]) expect(number(object, key)).toBeUndefined();
  expect(isObject(object.o)).toBe(true);
  for (const value of [null, undefined, [], "x", 1]) expect(isObject(value)).toBe(false);
});

test("moments are milliseconds", () => {
  expect(moment(object, "at")).toBe(Date.UTC(2026, 10, 21, 18, 0, 0, 500));
  for (const key of ["t", "n", "e", "absent"]) expect(moment(object, key)).toBeUndefined();
});
