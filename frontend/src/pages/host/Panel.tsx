import { createContext, type ReactNode, useContext } from "react";
import type { HostInfo } from "../../api/hostInfo";
import { useConnection } from "../../api/live";
import { useView } from "../../charts/view";
import { Note } from "../../components/Note";
import { type Condition, conditionOf } from "../../lib/condition";
import { sentence } from "../../lib/words";

// A panel, and the rule that every section which cannot be shown says why in its place.

export const HostContext = createContext<HostInfo | undefined>(undefined);

/** Why the section at this path ("perf.hardware") shows what it shows. */
export function useCondition(path: string): Condition {
  const { history } = useView();
  const phase = useConnection((connection) => connection.phase);
  const info = useContext(HostContext);
  const parts = path.split(".");
  return conditionOf({
    states: parts.map((_, i) => history.state(parts.slice(0, i + 1).join("."))),
    samples: history.table.length,
    everRead: history.everRead(path),
    connection: { phase },
    status: info?.status ?? "unknown",
    lastSeenMs: info?.lastSeenMs,
    nowMs: Date.now(),
  });
}

export function ConditionNote({ condition }: { condition: Condition }) {
  const reason = condition.reason === undefined ? null : <code className="mono">({condition.reason})</code>;
  const calm = condition.cause === "loading" || condition.cause === "starting";
  return (
    <div data-testid="condition" data-cause={condition.cause}>
      <Note title={condition.title} kind={calm ? "info" : "warn"} slim={condition.kind === "warn"}>
        {sentence(condition.detail)} {reason}
      </Note>
    </div>
  );
}

interface Props {
  title: string;
  hint?: ReactNode;
  /** The section whose state decides whether the content is shown. */
  section: string;
  testId?: string;
  span?: 4 | 6 | 8 | 12;
  children: ReactNode;
}

export function Panel({ title, hint, section, testId, span = 6, children }: Props) {
  const condition = useCondition(section);
  return (
    <section className={`panel span-${span}`} data-testid={testId} aria-label={title}>
      <div className="panel-head">
        <h3>{title}</h3>
        {hint !== undefined && condition.kind !== "instead" && <span className="hint">{hint}</span>}
      </div>
      {condition.kind !== "ok" && <ConditionNote condition={condition} />}
      {condition.kind !== "instead" && children}
    </section>
  );
}
