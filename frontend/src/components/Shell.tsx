import { Link, Outlet, useLocation, useNavigate, useParams } from "@tanstack/react-router";
import { useEffect } from "react";
import { live } from "../api/live";
import { logout } from "../api/rest";
import { useSession } from "../api/session";
import { nextSearch } from "../lib/next";
import { toggleTheme, useTheme } from "../lib/theme";
import { ConnectionBadge } from "./ConnectionBadge";
import { Logo, MoonIcon, SunIcon } from "./icons";

// The frame around every page of a logged-in user: it holds the live connection for as long as it is mounted.

const UNANSWERED_MS = 2000;

export function ThemeButton() {
  const { theme } = useTheme();
  const label = theme === "dark" ? "Switch to the light theme" : "Switch to the dark theme";
  return (
    <button type="button" className="button icon" aria-label={label} title={label} onClick={toggleTheme}>
      {theme === "dark" ? <SunIcon /> : <MoonIcon />}
    </button>
  );
}

export function Shell() {
  const status = useSession((session) => session.status);
  const navigate = useNavigate();
  const { hostname } = useParams({ strict: false });
  const inStorage = useLocation({ select: (location) => location.pathname === "/storage" });

  // Not before the backend has accepted us over HTTP: a session that is over would cost a refused connection as well.
  // A backend that does not answer at all is the live connection's to wait for.
  useEffect(() => {
    if (status === "out") return;
    const timer = setTimeout(() => live.start(), status === "in" ? 0 : UNANSWERED_MS);
    return () => clearTimeout(timer);
  }, [status]);
  useEffect(() => () => live.stop(), []);

  useEffect(() => {
    if (status !== "out") return;
    const here = window.location.pathname + window.location.search;
    navigate({ to: "/login", search: nextSearch(here), replace: true });
  }, [status, navigate]);

  return (
    <>
      <a className="skip" href="#content">
        Skip to the content
      </a>
      <header className="header">
        <div className="header-in">
          <Link to="/hosts" className="brand" aria-label="Sonde, all hosts">
            <Logo />
            <span className="brand-text">Sonde</span>
          </Link>
          <nav className="crumbs" aria-label="Where you are">
            {inStorage ? (
              <>
                <Link to="/hosts">Hosts</Link>
                <span aria-current="page">Storage</span>
              </>
            ) : hostname === undefined ? (
              <>
                <span aria-current="page">Hosts</span>
                <Link to="/storage">Storage</Link>
              </>
            ) : (
              <>
                <Link to="/hosts">Hosts</Link>
                <span aria-hidden="true">/</span>
                <span aria-current="page">{hostname}</span>
              </>
            )}
          </nav>
          <span className="spacer" />
          <ConnectionBadge />
          <ThemeButton />
          <button
            type="button"
            className="button"
            onClick={() => {
              logout().catch(() => undefined);
            }}
          >
            Log out
          </button>
        </div>
      </header>
      <main id="content" className="page">
        <Outlet />
      </main>
    </>
  );
}
