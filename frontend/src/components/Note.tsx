import type { ReactNode } from "react";
import { InfoIcon, WarnIcon } from "./icons";

/** Why there is nothing to see here, or what to know about what is. */
export function Note({
  title,
  children,
  kind = "info",
  slim,
  testId,
}: {
  title: string;
  children?: ReactNode;
  kind?: "info" | "warn";
  slim?: boolean;
  testId?: string;
}) {
  return (
    <div className={slim ? "note slim" : "note"} data-kind={kind} data-testid={testId}>
      {kind === "warn" ? <WarnIcon /> : <InfoIcon />}
      <div>
        <strong>{title}</strong> {children}
      </div>
    </div>
  );
}
