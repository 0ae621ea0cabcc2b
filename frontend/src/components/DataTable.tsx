import { useState } from "react";

export interface Column {
  label: string;
  help?: string;
}

export interface DataRow {
  key: string;
  cells: string[];
}

interface Props {
  head: readonly Column[];
  rows: readonly DataRow[];
  /** The sentence instead of an empty table. */
  empty: string;
  /** Rows shown before the rest is asked for. */
  first?: number;
}

/** Numbers in columns; the first cell names the row. A wide one scrolls inside itself, never the page. */
export function DataTable({ head, rows, empty, first = 12 }: Props) {
  const [all, setAll] = useState(false);
  if (rows.length === 0) return <p className="panel-note">{empty}</p>;
  const shown = all ? rows : rows.slice(0, first);
  return (
    <>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard */}
      <section className="table-scroll" tabIndex={0} aria-label={`Table by ${head[0]?.label ?? "row"}`}>
        <table className="table">
          <thead>
            <tr>
              {head.map(({ label, help }) => (
                <th key={label} scope="col" title={help}>
                  {label}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {shown.map(({ key, cells }) => (
              <tr key={key}>
                {cells.map((cell, i) =>
                  i === 0 ? (
                    <th key={head[i]?.label} scope="row">
                      {cell}
                    </th>
                  ) : (
                    <td key={head[i]?.label}>{cell}</td>
                  ),
                )}
              </tr>
            ))}
          </tbody>
        </table>
      </section>
      {rows.length > first && (
        <button
          type="button"
          className="button"
          style={{ marginTop: 8, alignSelf: "start" }}
          onClick={() => setAll(!all)}
        >
          {all ? "Show fewer" : `Show all ${rows.length}`}
        </button>
      )}
    </>
  );
}
