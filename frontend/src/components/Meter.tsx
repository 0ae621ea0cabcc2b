/** A bar for a share of something; the number it shows stands beside it in text. */
export function Meter({ value }: { value: number | undefined }) {
  if (value === undefined) return null;
  const level = value >= 0.95 ? "bad" : value >= 0.85 ? "warn" : "ok";
  return (
    <div className="meter" data-level={level} aria-hidden="true">
      <i style={{ width: `${Math.min(1, Math.max(0, value)) * 100}%` }} />
    </div>
  );
}
