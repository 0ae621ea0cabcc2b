import type { HostStatus } from "../api/hostInfo";
import type { ConnectionState } from "../api/machine";
import { type State, State_Code } from "../gen/sonde/v1/metric_pb";
import { present } from "./presence";
import { formatAgo } from "./units";

// Why a section shows what it shows. Loading, no data, not sent and not measurable are different things to know, and
// so different sentences.

export interface Condition {
  /** ok: show it. warn: show it under a sentence. instead: the sentence stands in its place. */
  kind: "ok" | "warn" | "instead";
  /** loading, no_data, not_sent, or the state's own code in lower case. */
  cause: string;
  title: string;
  detail: string;
  reason: string | undefined;
}

export interface Circumstances {
  /** The states of the section and of what it stands in, outermost first; undefined where it was not sent. */
  states: (State | undefined)[];
  /** Samples gathered so far. */
  samples: number;
  /** Whether any of them had a number of this section: charts without one say nothing. */
  everRead: boolean;
  connection: Pick<ConnectionState, "phase">;
  status: HostStatus;
  lastSeenMs: number | undefined;
  nowMs: number;
}

export const OK: Condition = { kind: "ok", cause: "ok", title: "", detail: "", reason: undefined };

function instead(cause: string, title: string, detail: string, reason?: string): Condition {
  return { kind: "instead", cause, title, detail, reason };
}

const WORDS: Partial<Record<State_Code, { cause: string; title: string; detail: string; warn?: boolean }>> = {
  [State_Code.UNAVAILABLE]: {
    cause: "unavailable",
    title: "This host cannot measure it.",
    detail: "The agent gave no further reason.",
  },
  [State_Code.DENIED]: {
    cause: "denied",
    title: "The agent is not allowed to read it.",
    detail: "The agent gave no further reason.",
  },
  [State_Code.DISABLED]: {
    cause: "disabled",
    title: "Switched off.",
    detail: "The agent's configuration disables this collector.",
  },
  [State_Code.FAILED]: {
    cause: "failed",
    title: "Reading failed at the last tick.",
    detail: "The agent gave no further reason.",
    warn: true,
  },
  [State_Code.DEGRADED]: {
    cause: "degraded",
    title: "These numbers are not as they should be.",
    detail: "The agent gave no further reason.",
    warn: true,
  },
};

function withoutSamples({ connection, status, lastSeenMs, nowMs }: Circumstances): Condition {
  if (status === "offline" || status === "stale") {
    const ago = lastSeenMs === undefined ? "" : ` Its last snapshot came ${formatAgo(lastSeenMs, nowMs)}.`;
    return instead("no_data", "No data.", `This host is ${status}.${ago} Live charts begin when it reports again.`);
  }
  if (connection.phase !== "live")
    return instead("loading", "Waiting for the connection…", "Live data comes as soon as the backend answers.");
  return instead("loading", "Loading…", "The first snapshot is on its way.");
}

export function conditionOf(circumstances: Circumstances): Condition {
  const { states, samples } = circumstances;
  if (samples === 0) return withoutSamples(circumstances);
  let worst = OK;
  for (const state of states) {
    if (state === undefined)
      return instead("not_sent", "Not sent.", "The agent on this host does not report this section.");
    const detail = present(state, "detail");
    const reason = present(state, "reason");
    if (state.code === State_Code.STARTING) {
      // Rates that were there before an agent's restart stay on screen.
      if (samples > 2) continue;
      return instead(
        "starting",
        "Starting.",
        detail ?? "The first reading is taken; rates come with the next.",
        reason,
      );
    }
    const words = WORDS[state.code];
    if (!words) continue;
    const found: Condition = {
      kind: words.warn && circumstances.everRead ? "warn" : "instead",
      cause: words.cause,
      title: words.title,
      detail: detail ?? words.detail,
      reason,
    };
    if (found.kind === "instead") return found;
    worst = found;
  }
  return worst;
}
