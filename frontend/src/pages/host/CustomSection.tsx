import { useView } from "../../charts/view";
import { DataTable } from "../../components/DataTable";
import type { CustomMetric } from "../../gen/sonde/v1/custom_pb";
import { formatValue } from "../../lib/units";
import { Panel } from "./Panel";

function numberOf({ value }: CustomMetric): number | undefined {
  return value.case === undefined ? undefined : Number(value.value);
}

/** Metrics the schema does not know, as they are; nothing where a host has none. */
export function CustomSection() {
  const { history } = useView();
  const metrics = history.section("custom")?.metrics ?? [];
  if (metrics.length === 0) return null;
  return (
    <>
      <h2 className="section-title">Custom metrics</h2>
      <div className="grid" data-testid="panel-custom">
        <Panel title="Newest values" section="custom" span={12}>
          <DataTable
            head={[{ label: "Metric" }, { label: "Value" }]}
            rows={metrics.map((metric) => {
              const labels = metric.labels.map((label) => `${label.name}="${label.value}"`).join(", ");
              const name = labels === "" ? metric.name : `${metric.name}{${labels}}`;
              return { key: name, cells: [name, formatValue(numberOf(metric), "count")] };
            })}
            empty=""
          />
        </Panel>
      </div>
    </>
  );
}
