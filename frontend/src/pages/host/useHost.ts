import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import type { HostInfo } from "../../api/hostInfo";
import { live } from "../../api/live";
import { ApiError, getHost } from "../../api/rest";
import { Crosshair, type Span, type View } from "../../charts/view";
import { History } from "../../lib/history";

// One host's live data and the span of it that is on screen.

/** Pictures a second at most, however fast the agent is. */
const PICTURE_MS = 250;

export interface HostData {
  history: History;
  /** Goes up with the pictures to draw. */
  version: number;
  info: HostInfo | undefined;
  error: ApiError | undefined;
}

export function useHost(hostname: string): HostData {
  // biome-ignore lint/correctness/useExhaustiveDependencies: another host has another history
  const history = useMemo(() => new History(), [hostname]);
  const [info, setInfo] = useState<HostInfo>();
  const [error, setError] = useState<ApiError>();
  const [version, setVersion] = useState(0);

  useEffect(() => {
    let stopped = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    setInfo(undefined);
    setError(undefined);
    const draw = () => {
      timer = undefined;
      setVersion((before) => before + 1);
    };
    const load = async () => {
      try {
        const host = await getHost(hostname);
        if (stopped) return;
        setInfo(host);
        setError(undefined);
      } catch (failure) {
        if (stopped || !(failure instanceof ApiError) || failure.status === 401) return;
        setError(failure);
      }
    };
    const unsubscribe = live.subscribe(
      { hosts: [hostname], sections: [] },
      {
        ready: load,
        host: (host) => host.hostname === hostname && setInfo(host),
        snapshot: (frame, now) => {
          if (frame.hostname !== hostname || !frame.snapshot || !history.add(frame.snapshot, now)) return;
          setInfo((before) => (before && before.status !== "live" ? { ...before, status: "live" } : before));
          timer ??= setTimeout(draw, history.intervalSeconds * 1000 >= PICTURE_MS ? 0 : PICTURE_MS);
        },
      },
    );
    load();
    return () => {
      stopped = true;
      clearTimeout(timer);
      unsubscribe();
    };
  }, [hostname, history]);

  return { history, version, info, error };
}

/** The host's clock now: that of the newest sample, and running on by ours when nothing comes any more. */
function hostNow(history: History): number {
  const newest = history.table.lastTime;
  if (newest === undefined) return Date.now() / 1000;
  const silent = (Date.now() - history.receivedAtMs) / 1000;
  return silent > 2.5 * history.intervalSeconds ? newest + silent : newest;
}

export interface Screen {
  view: View;
  /** Why it stands still. */
  paused: "hover" | "zoom" | undefined;
  backToLive: () => void;
}

export function useScreen(history: History, version: number, seconds: number): Screen {
  const crosshair = useMemo(() => new Crosshair(), []);
  const [zoomed, setZoomed] = useState<Span>();
  const [held, setHeld] = useState(false);
  const [second, setSecond] = useState(0);
  const frozen = useRef<View | undefined>(undefined);

  // A host that says nothing moves out of the picture instead of standing in it as if it were now.
  useEffect(() => {
    const timer = setInterval(() => {
      if (Date.now() - history.receivedAtMs > 2500 * history.intervalSeconds) setSecond((before) => before + 1);
    }, 1000);
    return () => clearInterval(timer);
  }, [history]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: another host or window ends the zoom
  useEffect(() => setZoomed(undefined), [history, seconds]);

  const zoom = useCallback((span: Span | undefined) => {
    setZoomed(span);
    setHeld(false);
  }, []);
  const hold = useCallback((on: boolean) => setHeld(on), []);

  // biome-ignore lint/correctness/useExhaustiveDependencies: version and second say that the history moved on
  const current = useMemo<View>(() => {
    const now = hostNow(history);
    return { history, version, span: zoomed ?? [now - seconds, now], crosshair, hold, zoom };
  }, [history, version, second, seconds, zoomed, crosshair, hold, zoom]);

  const before = frozen.current;
  const still =
    held && zoomed === undefined && before?.history === history && before.span[1] - before.span[0] === seconds;
  const view = still && before ? before : current;
  frozen.current = view;
  return {
    view,
    paused: zoomed ? "zoom" : held ? "hover" : undefined,
    backToLive: useCallback(() => zoom(undefined), [zoom]),
  };
}
