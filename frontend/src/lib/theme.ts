import { create } from "zustand";

// Light or dark: the system's wish until somebody chooses, then their choice, kept in this browser.

export type Theme = "light" | "dark";
const KEY = "sonde.theme";

function systemTheme(): Theme {
  return window.matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

function chosen(): Theme | undefined {
  try {
    const value = localStorage.getItem(KEY);
    return value === "light" || value === "dark" ? value : undefined;
  } catch {
    return undefined;
  }
}

export const useTheme = create<{ theme: Theme }>(() => ({ theme: "light" }));

function apply(theme: Theme): void {
  document.documentElement.dataset.theme = theme;
  useTheme.setState({ theme });
}

export function startTheme(): void {
  apply(chosen() ?? systemTheme());
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    if (!chosen()) apply(systemTheme());
  });
}

export function toggleTheme(): void {
  const next = useTheme.getState().theme === "dark" ? "light" : "dark";
  try {
    localStorage.setItem(KEY, next);
  } catch {
    // It lasts for this page then.
  }
  apply(next);
}

/** The value of a colour variable, for canvases, which cannot read CSS. */
export function cssColor(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
