// How a counter becomes a rate. One place, so that reset and gap rules are the same everywhere.

export interface Reading {
  value: number | bigint;
  /** Seconds on a clock that never steps (the host's time since boot). */
  at: number;
  /** Tells two bearers of one name apart: diskseq, ifindex. */
  generation: string;
}

/** Longest time a rate may span: beyond it the average says nothing about any moment in it. */
export function longestSpan(intervalSeconds: number): number {
  return Math.max(5, 3 * intervalSeconds);
}

/**
 * The counter's growth per second, or undefined where there is none to be had: no earlier reading, time that did not
 * pass, a span beyond the limit, another device under the same name, or a counter that went backwards. Never negative.
 */
export function rateOf(before: Reading | undefined, now: Reading, longest: number): number | undefined {
  if (before === undefined || before.generation !== now.generation) return undefined;
  const span = now.at - before.at;
  if (!(span > 0) || span > longest) return undefined;
  // Differences are taken before they become floating point: a counter beyond 2^53 still counts.
  const grown =
    typeof now.value === "bigint" && typeof before.value === "bigint"
      ? Number(now.value - before.value)
      : Number(now.value) - Number(before.value);
  return grown < 0 ? undefined : grown / span;
}
