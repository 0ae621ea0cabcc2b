import { create as createMessage, fromBinary, toBinary } from "@bufbuild/protobuf";
import { create } from "zustand";
import {
  AuthenticateSchema,
  type LiveFrame,
  LiveFrameSchema,
  type LiveRequest,
  LiveRequestSchema,
  type LiveSnapshot,
  SubscribeSchema,
} from "../gen/sonde/v1/live_pb";
import { present } from "../lib/presence";
import { type HostInfo, hostFromProto } from "./hostInfo";
import {
  type Action,
  CLOSE_UNAUTHENTICATED,
  type ConnectionEvent,
  type ConnectionState,
  INITIAL,
  step,
} from "./machine";
import { listHosts } from "./rest";
import { signedOut, useSession } from "./session";

// The one WebSocket of a tab. machine.ts decides, this carries out: it owns the socket and the clock, sends what the
// page that is on screen wants to hear about, and hands frames to whoever listens.

const PROTOCOL = "sonde.v1";
const TICK_MS = 500;

export interface Subscription {
  hosts: string[];
  sections: string[];
}

export interface LiveHandlers {
  snapshot?: (snapshot: LiveSnapshot, receivedAtMs: number) => void;
  host?: (host: HostInfo) => void;
  /** The connection is there again: what was pushed meanwhile is lost. */
  ready?: () => void;
  error?: (code: string, message: string) => void;
}

export const useConnection = create<ConnectionState>(() => INITIAL);

class Live {
  private socket: WebSocket | undefined;
  private ticker: ReturnType<typeof setInterval> | undefined;
  private subscription: Subscription | undefined;
  private readonly handlers = new Set<LiveHandlers>();
  /** Intervals of hosts that are live, by host id: who owes us snapshots. */
  private readonly owing = new Map<string, number>();

  constructor() {
    if (typeof window === "undefined") return;
    window.addEventListener("online", () => this.feed({ type: "online" }));
    window.addEventListener("offline", () => this.feed({ type: "offline" }));
  }

  start(): void {
    this.feed({ type: "start" });
    this.ticker ??= setInterval(() => this.feed({ type: "tick" }), TICK_MS);
    if (typeof navigator !== "undefined" && !navigator.onLine) this.feed({ type: "offline" });
  }

  stop(): void {
    clearInterval(this.ticker);
    this.ticker = undefined;
    this.feed({ type: "stop" });
  }

  retry(): void {
    this.feed({ type: "retry" });
  }

  /** Replaces what is wanted; returns the way to want nothing again. */
  subscribe(subscription: Subscription, handlers: LiveHandlers): () => void {
    this.subscription = subscription;
    this.handlers.add(handlers);
    this.owing.clear();
    this.expect();
    this.sendSubscription();
    return () => {
      this.handlers.delete(handlers);
      if (this.subscription === subscription) this.subscription = undefined;
    };
  }

  private feed(event: ConnectionEvent): void {
    const before = useConnection.getState();
    const { state, actions } = step(before, event, Date.now(), Math.random());
    if (state !== before) useConnection.setState(state, true);
    for (const action of actions) this.act(action);
  }

  private act(action: Action): void {
    switch (action) {
      case "open":
        this.open();
        break;
      case "close":
        this.close();
        break;
      case "login":
        this.close();
        signedOut();
        break;
      case "probe":
        listHosts().then(
          () => this.feed({ type: "probed", alive: true }),
          () => this.feed({ type: "probed", alive: false }),
        );
        break;
    }
  }

  private open(): void {
    this.close();
    const url = new URL("/api/ws/metrics", window.location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(url, [PROTOCOL]);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    socket.onopen = () => {
      const { token } = useSession.getState();
      if (token) this.send({ case: "authenticate", value: createMessage(AuthenticateSchema, { token }) });
      this.sendSubscription();
    };
    socket.onmessage = (message: MessageEvent<unknown>) => {
      if (this.socket === socket && message.data instanceof ArrayBuffer) this.receive(new Uint8Array(message.data));
    };
    socket.onclose = (event) => {
      if (this.socket !== socket) return;
      this.socket = undefined;
      this.owing.clear();
      this.feed({ type: "closed", code: event.code });
    };
  }

  private close(): void {
    const socket = this.socket;
    this.socket = undefined;
    this.owing.clear();
    socket?.close(1000);
  }

  private send(request: LiveRequest["request"]): void {
    if (this.socket?.readyState !== WebSocket.OPEN) return;
    this.socket.send(toBinary(LiveRequestSchema, createMessage(LiveRequestSchema, { request })));
  }

  private sendSubscription(): void {
    if (!this.subscription) return;
    this.send({ case: "subscribe", value: createMessage(SubscribeSchema, this.subscription) });
  }

  private receive(bytes: Uint8Array): void {
    let frame: LiveFrame["frame"];
    try {
      frame = fromBinary(LiveFrameSchema, bytes).frame;
    } catch {
      return;
    }
    if (frame.case === "error" && frame.value.code === "unauthenticated") {
      this.feed({ type: "closed", code: CLOSE_UNAUTHENTICATED });
      return;
    }
    this.feed({ type: "frame" });
    switch (frame.case) {
      case "ready":
        for (const handler of this.handlers) handler.ready?.();
        break;
      case "snapshot": {
        const now = Date.now();
        this.owes(frame.value.hostId, present(frame.value.snapshot, "intervalMs") ?? 1000);
        for (const handler of this.handlers) handler.snapshot?.(frame.value, now);
        break;
      }
      case "host": {
        const host = hostFromProto(frame.value);
        if (host.status !== "live") this.owes(host.hostId, undefined);
        for (const handler of this.handlers) handler.host?.(host);
        break;
      }
      case "error":
        for (const handler of this.handlers) handler.error?.(frame.value.code, frame.value.message);
        break;
    }
  }

  private owes(hostId: string, intervalMs: number | undefined): void {
    if (this.owing.get(hostId) === intervalMs) return;
    if (intervalMs === undefined) this.owing.delete(hostId);
    else this.owing.set(hostId, intervalMs);
    this.expect();
  }

  private expect(): void {
    const shortest = Math.min(...this.owing.values());
    this.feed({ type: "expect", intervalMs: Number.isFinite(shortest) ? shortest : undefined });
  }
}

export const live = new Live();
