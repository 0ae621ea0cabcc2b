// Reading JSON that came from outside: what is not of the type that was expected is not there.

export type Json = Record<string, unknown>;

export function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function text(object: Json, key: string): string | undefined {
  const value = object[key];
  return typeof value === "string" ? value : undefined;
}

/** JSON numbers; 64-bit ones may be written as strings. */
export function number(object: Json, key: string): number | undefined {
  const value = object[key];
  if (typeof value === "number") return Number.isFinite(value) ? value : undefined;
  if (typeof value !== "string" || value.trim() === "") return undefined;
  const parsed = Number(value);
  return Number.isFinite(parsed) ? parsed : undefined;
}

/** RFC 3339, in milliseconds since 1970. */
export function moment(object: Json, key: string): number | undefined {
  const parsed = Date.parse(text(object, key) ?? "");
  return Number.isNaN(parsed) ? undefined : parsed;
}
