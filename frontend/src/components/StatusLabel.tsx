import type { HostStatus } from "../api/hostInfo";
import { useConnection } from "../api/live";
import { LiveIcon, OfflineIcon, StaleIcon } from "./icons";

// A host's status as an icon and a word; colour only repeats what they say.

const LOOK: Record<HostStatus, { tone: string; word: string; icon: typeof LiveIcon; title: string }> = {
  live: { tone: "ok", word: "Live", icon: LiveIcon, title: "Snapshots are coming" },
  stale: { tone: "warn", word: "Stale", icon: StaleIcon, title: "No snapshot for more than three intervals" },
  offline: { tone: "off", word: "Offline", icon: OfflineIcon, title: "No snapshot for more than a minute" },
  unknown: { tone: "off", word: "Unknown", icon: OfflineIcon, title: "The backend does not say" },
};

/** A host that was live when the connection broke may be anything by now. */
const CUT_OFF = { tone: "off", word: "Was live", icon: OfflineIcon, title: "No connection to the backend: not known" };

export function StatusLabel({ status }: { status: HostStatus }) {
  const lost = useConnection(({ phase, attempts }) => phase === "reconnecting" || phase === "failed" || attempts > 0);
  const { tone, word, icon: StatusIcon, title } = lost && status === "live" ? CUT_OFF : LOOK[status];
  return (
    <span className="status" data-tone={tone} title={title}>
      <StatusIcon />
      {word}
    </span>
  );
}
