import { expect, it } from "vitest";
import { sentence } from "./words";

it("makes a sentence of a clause", () => {
  expect(sentence("user name or password is wrong")).toBe("User name or password is wrong.");
  expect(sentence("Ask an administrator.")).toBe("Ask an administrator.");
  expect(sentence("is it on?")).toBe("Is it on?");
  expect(sentence(" ")).toBe("");
});

it("leaves names as they are spelt", () => {
  expect(sentence("vda: 3 events lost")).toBe("vda: 3 events lost.");
  expect(sentence("perf_event_paranoid=4, needs CAP_PERFMON")).toBe("perf_event_paranoid=4, needs CAP_PERFMON.");
});
