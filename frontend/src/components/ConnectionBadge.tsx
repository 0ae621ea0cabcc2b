import { useEffect, useState } from "react";
import { live, useConnection } from "../api/live";
import type { ConnectionState } from "../api/machine";
import { LiveIcon, OfflineIcon, RetryIcon, StaleIcon } from "./icons";

// What the live connection is doing, in words. Announced politely, but not second by second: the countdown is outside
// of the live region's text.

interface Look {
  state: string;
  tone: string;
  text: string;
  icon: typeof LiveIcon;
}

function look(connection: ConnectionState): Look {
  switch (connection.phase) {
    case "live":
      return connection.stale
        ? { state: "stale", tone: "warn", text: "Live, but silent", icon: StaleIcon }
        : { state: "live", tone: "ok", text: "Live", icon: LiveIcon };
    case "reconnecting":
      return { state: "reconnecting", tone: "warn", text: "Reconnecting", icon: RetryIcon };
    case "failed":
      return {
        state: "failed",
        tone: "bad",
        text: connection.failure === "offline" ? "This browser is offline" : "Connection failed",
        icon: OfflineIcon,
      };
    case "connecting":
      return connection.attempts > 0
        ? { state: "reconnecting", tone: "warn", text: "Reconnecting", icon: RetryIcon }
        : { state: "connecting", tone: "off", text: "Connecting", icon: StaleIcon };
    default:
      return { state: connection.phase, tone: "off", text: "Not connected", icon: OfflineIcon };
  }
}

function useNow(active: boolean): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    if (!active) return;
    setNow(Date.now());
    const timer = setInterval(() => setNow(Date.now()), 500);
    return () => clearInterval(timer);
  }, [active]);
  return now;
}

export function ConnectionBadge() {
  const connection = useConnection();
  const { state, tone, text, icon: StateIcon } = look(connection);
  const now = useNow(connection.phase === "reconnecting");
  const seconds =
    connection.retryAt === undefined ? undefined : Math.max(0, Math.ceil((connection.retryAt - now) / 1000));
  const retry = connection.phase === "failed" || connection.phase === "reconnecting";
  return (
    <div className="connection">
      <span className="status" data-tone={tone} data-testid="connection-state" data-state={state}>
        <StateIcon />
        <span role="status">{text}</span>
        {connection.phase === "reconnecting" && <span aria-hidden="true">{`in ${seconds ?? 0} s`}</span>}
      </span>
      {retry && (
        <button type="button" className="button" data-testid="retry" onClick={() => live.retry()}>
          {connection.phase === "failed" ? "Retry" : "Retry now"}
        </button>
      )}
    </div>
  );
}
