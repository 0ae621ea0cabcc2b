import type { DescField, Message } from "@bufbuild/protobuf";
import { isFieldSet } from "@bufbuild/protobuf";

// Absent is not zero. protobuf-es gives an unset proto2 scalar its default through the prototype, so reading
// `message.field` cannot tell the two apart: every scalar of the wire is read through here.

type Scalar = string | number | bigint | boolean | Uint8Array;

/** The field's value, or undefined where the sender did not set it. */
export function present<M extends Message, K extends keyof M & string>(
  message: M | undefined,
  key: K,
): M[K] extends Scalar ? M[K] | undefined : never;
export function present(message: Message | undefined, key: string): unknown {
  if (message === undefined || !Object.hasOwn(message, key)) return undefined;
  return (message as unknown as Record<string, unknown>)[key];
}

/** The same for a field known only by its descriptor. */
export function presentField(message: Message, field: DescField): unknown {
  return isFieldSet(message, field) ? (message as unknown as Record<string, unknown>)[field.localName] : undefined;
}
