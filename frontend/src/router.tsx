import { createRootRoute, createRoute, createRouter, Link, Outlet, redirect } from "@tanstack/react-router";
import { useSession } from "./api/session";
import { Shell } from "./components/Shell";
import { SORTS, type Sort } from "./lib/hostList";
import { LATENCIES, type Latency } from "./lib/latency";
import { nextSearch, safeNext } from "./lib/next";
import { HostsPage } from "./pages/HostsPage";
import { HostPage } from "./pages/host/HostPage";
import { LoginPage } from "./pages/LoginPage";
import { StoragePage } from "./pages/StoragePage";

// Every view is a URL; what a search parameter may be is decided here and nowhere else.

export const WINDOWS = { "1m": 60, "5m": 300, "15m": 900 } as const;
export type WindowName = keyof typeof WINDOWS;

interface HostsSearch {
  q?: string;
  sort?: Sort;
  desc?: boolean;
}

interface HostSearch {
  window?: WindowName;
  /** What the block latency map shows. */
  device?: string;
  op?: string;
  latency?: Latency;
}

const rootRoute = createRootRoute({ component: Outlet, notFoundComponent: NotFound });

const loginRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: "/login",
  validateSearch: (search: Record<string, unknown>): { next?: string } => safeNext(search.next),
  component: LoginPage,
});

const shellRoute = createRoute({
  getParentRoute: () => rootRoute,
  id: "shell",
  beforeLoad: ({ location }) => {
    if (useSession.getState().status === "out")
      throw redirect({ to: "/login", search: nextSearch(location.href), replace: true });
  },
  component: Shell,
});

const indexRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: "/",
  beforeLoad: () => {
    throw redirect({ to: "/hosts", replace: true });
  },
});

const hostsRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: "/hosts",
  validateSearch: (search: Record<string, unknown>): HostsSearch => ({
    q: typeof search.q === "string" && search.q !== "" ? search.q : undefined,
    sort: SORTS.find((sort) => sort === search.sort),
    desc: search.desc === true || undefined,
  }),
  component: HostsPage,
});

const hostRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: "/hosts/$hostname",
  validateSearch: (search: Record<string, unknown>): HostSearch => ({
    window: (Object.keys(WINDOWS) as WindowName[]).find((name) => name === search.window),
    device: typeof search.device === "string" && search.device !== "" ? search.device : undefined,
    op: typeof search.op === "string" && search.op !== "" ? search.op : undefined,
    latency: LATENCIES.find((name) => name === search.latency),
  }),
  component: HostPage,
});

const storageRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: "/storage",
  component: StoragePage,
});

function NotFound() {
  return (
    <main className="page">
      <h1>There is no such page</h1>
      <p>
        <Link to="/hosts">Go to the hosts</Link>
      </p>
    </main>
  );
}

export const router = createRouter({
  routeTree: rootRoute.addChildren([
    indexRoute,
    loginRoute,
    shellRoute.addChildren([hostsRoute, hostRoute, storageRoute]),
  ]),
  scrollRestoration: true,
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
