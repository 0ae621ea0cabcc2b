import type { ReactNode } from "react";

function Icon({ children, size = 14 }: { children: ReactNode; size?: number }) {
  return (
    <svg
      width={size}
      height={size}
      viewBox="0 0 16 16"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.7"
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
    >
      {children}
    </svg>
  );
}

export const LiveIcon = () => (
  <Icon>
    <circle cx="8" cy="8" r="3" fill="currentColor" />
    <circle cx="8" cy="8" r="6.3" opacity="0.5" />
  </Icon>
);
export const StaleIcon = () => (
  <Icon>
    <circle cx="8" cy="8" r="6.3" />
    <path d="M8 4.5V8l2.3 1.6" />
  </Icon>
);
export const OfflineIcon = () => (
  <Icon>
    <circle cx="8" cy="8" r="6.3" />
    <path d="M5.5 5.5l5 5" />
  </Icon>
);
export const RetryIcon = () => (
  <Icon>
    <path d="M13.2 8a5.2 5.2 0 1 1-1.5-3.7" />
    <path d="M13.4 1.8v2.8h-2.8" />
  </Icon>
);
export const WarnIcon = () => (
  <Icon size={17}>
    <path d="M8 2.2 14.4 13.4H1.6Z" />
    <path d="M8 6.6v3.2M8 11.6v.1" />
  </Icon>
);
export const InfoIcon = () => (
  <Icon size={17}>
    <circle cx="8" cy="8" r="6.3" />
    <path d="M8 7.4v3.4M8 5.1v.1" />
  </Icon>
);
export const SunIcon = () => (
  <Icon size={16}>
    <circle cx="8" cy="8" r="3" />
    <path d="M8 1v1.6M8 13.4V15M1 8h1.6M13.4 8H15M3 3l1.2 1.2M11.8 11.8 13 13M3 13l1.2-1.2M11.8 4.2 13 3" />
  </Icon>
);
export const MoonIcon = () => (
  <Icon size={16}>
    <path d="M13.3 9.6A5.8 5.8 0 0 1 6.4 2.7a5.8 5.8 0 1 0 6.9 6.9Z" />
  </Icon>
);
export const PauseIcon = () => (
  <Icon>
    <path d="M5.5 3.5v9M10.5 3.5v9" />
  </Icon>
);

export function Logo({ size = 24 }: { size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="7" fill="#0f766e" />
      <path
        d="M5 18h5l3-9 5 15 4-10 2 4h3"
        fill="none"
        stroke="#fff"
        strokeWidth="2.6"
        strokeLinecap="round"
        strokeLinejoin="round"
      />
    </svg>
  );
}
