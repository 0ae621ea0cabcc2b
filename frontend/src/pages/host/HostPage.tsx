import { Link, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { useEffect } from "react";
import type { HostInfo } from "../../api/hostInfo";
import { useConnection } from "../../api/live";
import { ViewContext } from "../../charts/view";
import { PauseIcon } from "../../components/icons";
import { Note } from "../../components/Note";
import { Segmented } from "../../components/Segmented";
import { StatusLabel } from "../../components/StatusLabel";
import { clockLabel } from "../../lib/axes";
import { present } from "../../lib/presence";
import { formatAgo, formatDuration, formatValue } from "../../lib/units";
import { WINDOWS, type WindowName } from "../../router";
import { AgentSection } from "./AgentSection";
import { BlockIoSection } from "./BlockIoSection";
import { CpuSection } from "./CpuSection";
import { CustomSection } from "./CustomSection";
import { DiskSection } from "./DiskSection";
import { MemorySection } from "./MemorySection";
import { NetworkSection } from "./NetworkSection";
import { HostContext } from "./Panel";
import { PerfSection } from "./PerfSection";
import { Tiles } from "./Tiles";
import { type Screen, useHost, useScreen } from "./useHost";
import { VmstatSection } from "./VmstatSection";

const WINDOW_OPTIONS = [
  { value: "1m", label: "1 min" },
  { value: "5m", label: "5 min" },
  { value: "15m", label: "15 min" },
] as const;
/** A clock difference worth telling people about. */
const SKEW_MS = 2000;

export function HostPage() {
  const { hostname } = useParams({ from: "/shell/hosts/$hostname" });
  const { window: windowName = "5m" } = useSearch({ from: "/shell/hosts/$hostname" });
  const { history, version, info, error } = useHost(hostname);
  const screen = useScreen(history, version, WINDOWS[windowName]);

  useEffect(() => {
    document.title = `${hostname} · Sonde`;
  }, [hostname]);

  if (error?.status === 404)
    return (
      <>
        <h1>{hostname}</h1>
        <Note title="There is no host of this name.">
          It has never reported to this backend, or it was renamed. <Link to="/hosts">See all hosts</Link>
        </Note>
      </>
    );

  return (
    <ViewContext.Provider value={screen.view}>
      <HostContext.Provider value={info}>
        <div data-testid="host-page" data-sequence={String(present(history.newest, "sequence") ?? "")}>
          <Head hostname={hostname} info={info} />
          {error && (
            <div className="banner" data-tone="bad" role="alert">
              {error.message}
            </div>
          )}
          <Toolbar windowName={windowName} screen={screen} />
          <Tiles />
          <CpuSection />
          <MemorySection />
          <NetworkSection />
          <DiskSection />
          <BlockIoSection />
          <PerfSection />
          <VmstatSection />
          <AgentSection />
          <CustomSection />
        </div>
      </HostContext.Provider>
    </ViewContext.Provider>
  );
}

function Head({ hostname, info }: { hostname: string; info: HostInfo | undefined }) {
  const facts = info?.facts;
  const words = [
    facts?.os,
    facts?.kernel && `Linux ${facts.kernel}`,
    facts?.architecture,
    facts?.cpuModel,
    facts?.cpus !== undefined && `${facts.cpus} ${facts.cpus === 1 ? "CPU" : "CPUs"}`,
    facts?.memoryBytes !== undefined && formatValue(facts.memoryBytes, "bytes"),
    facts?.agentVersion && `agent ${facts.agentVersion}`,
    info && `every ${formatDuration(info.intervalMs / 1000).replace(/\.0+ /, " ")}`,
  ].filter((word) => typeof word === "string");
  const skew = info?.clockSkewMs;
  return (
    <>
      <div className="page-head">
        <h1>{hostname}</h1>
        {info && <StatusLabel status={info.status} />}
        {info && info.status !== "live" && info.lastSeenMs !== undefined && (
          <span className="muted">last heard {formatAgo(info.lastSeenMs, Date.now())}</span>
        )}
        <div className="facts">
          {words.map((word) => (
            <span key={word}>{word}</span>
          ))}
        </div>
      </div>
      {info?.warning && <div className="banner">{info.warning}</div>}
      {skew !== undefined && Math.abs(skew) > SKEW_MS && (
        <div className="banner">
          This host's clock is {formatDuration(Math.abs(skew) / 1000)} {skew > 0 ? "ahead of" : "behind"} the backend's.
          Times on this page are the host's.
        </div>
      )}
    </>
  );
}

function Toolbar({ windowName, screen }: { windowName: WindowName; screen: Screen }) {
  const navigate = useNavigate({ from: "/hosts/$hostname" });
  const connected = useConnection((connection) => connection.phase === "live");
  const [from, to] = screen.view.span;
  const { missing } = screen.view.history;
  return (
    <div className="stickybar">
      <Segmented
        label="Time shown"
        options={WINDOW_OPTIONS}
        value={windowName}
        onChange={(window) => navigate({ search: (old) => ({ ...old, window }), replace: true, resetScroll: false })}
      />
      {screen.paused === "zoom" ? (
        <>
          <span className="status" data-tone="warn" data-testid="view-state" data-state="zoom">
            <PauseIcon /> {clockLabel(from, 1)} to {clockLabel(to, 1)}
          </span>
          <button type="button" className="button" onClick={screen.backToLive}>
            Back to live
          </button>
        </>
      ) : (
        <span className="muted mouse-only" data-testid="view-state" data-state={screen.paused ?? "following"}>
          {screen.paused === "hover"
            ? "Paused while you look"
            : connected
              ? "Drag over a chart to zoom"
              : "Waiting for data"}
        </span>
      )}
      {missing > 0 && (
        <span
          className="muted"
          title="Snapshots that did not come over the live connection; what the agent delivered later is stored"
        >
          {missing} {missing === 1 ? "sample" : "samples"} missing
        </span>
      )}
    </div>
  );
}
