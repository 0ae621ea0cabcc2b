// Where to go after logging in.

/** Only a path of this site: a link must not be able to send people elsewhere after they logged in. */
export function safeNext(next: unknown): { next?: string } {
  return typeof next === "string" && /^\/(?![/\\])[^\s]*$/.test(next) ? { next } : {};
}

/** What the login page is told about the page that sent people there; the host list is where they go anyway. */
export function nextSearch(here: string): { next?: string } {
  return here === "/" || here === "/hosts" || here.startsWith("/login") ? {} : safeNext(here);
}
