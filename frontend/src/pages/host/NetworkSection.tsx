import { memo, useMemo } from "react";
import { TimeChart } from "../../charts/TimeChart";
import { frameOf, useView } from "../../charts/view";
import { DataTable } from "../../components/DataTable";
import { present } from "../../lib/presence";
import { helpOf } from "../../lib/schema";
import { formatValue } from "../../lib/units";
import { Panel } from "./Panel";
import { MOST_LINES, perInstance } from "./series";

const LIST = "network.interfaces";

export const NetworkSection = memo(function NetworkSection() {
  const view = useView();
  const { history } = view;
  const names = useMemo(() => {
    const virtual = new Set(
      view.history
        .section("network")
        ?.interfaces.filter((i) => present(i, "virtual"))
        .map((i) => i.interface),
    );
    // Real interfaces first: they are what the totals are made of.
    const all = view.history.instances(LIST);
    return { all: [...all.filter((n) => !virtual.has(n)), ...all.filter((n) => virtual.has(n))], virtual };
  }, [view]);
  const shown = names.all.slice(0, MOST_LINES);
  const data = useMemo(() => {
    const frame = frameOf(view);
    const lines = names.all.slice(0, MOST_LINES);
    return {
      times: frame.times,
      receive: perInstance(frame, `${LIST}.receive_bytes`, lines),
      transmit: perInstance(frame, `${LIST}.transmit_bytes`, lines),
    };
  }, [view, names]);
  const rate = (name: string, path: string, unit: "bytes_per_second" | "per_second") =>
    formatValue(history.latest(`${LIST}.${path}`, name), unit);
  const more = names.all.length - shown.length;
  const hint = more > 0 ? `first ${MOST_LINES} of ${names.all.length} interfaces` : "per interface";

  return (
    <>
      <h2 className="section-title">Network</h2>
      <div className="grid" data-testid="panel-network">
        <Panel title="Received" hint={hint} section="network">
          <TimeChart label="Bytes received" times={data.times} series={data.receive} unit="bytes_per_second" />
        </Panel>
        <Panel title="Sent" hint={hint} section="network">
          <TimeChart label="Bytes sent" times={data.times} series={data.transmit} unit="bytes_per_second" />
        </Panel>
        <Panel title="Interfaces" section="network" span={12}>
          <DataTable
            head={[
              { label: "Interface" },
              { label: "In", help: helpOf(`${LIST}.receive_bytes`) },
              { label: "Out", help: helpOf(`${LIST}.transmit_bytes`) },
              { label: "Packets in", help: helpOf(`${LIST}.receive_packets`) },
              { label: "Packets out", help: helpOf(`${LIST}.transmit_packets`) },
              { label: "Errors in / out", help: "Packets received with errors, packets that could not be sent" },
              { label: "Drops in / out", help: "Packets dropped on receipt, before sending" },
            ]}
            rows={names.all.map((name) => ({
              key: name,
              cells: [
                names.virtual.has(name) ? `${name} (virtual, not in totals)` : name,
                rate(name, "receive_bytes", "bytes_per_second"),
                rate(name, "transmit_bytes", "bytes_per_second"),
                rate(name, "receive_packets", "per_second"),
                rate(name, "transmit_packets", "per_second"),
                `${rate(name, "receive_errors", "per_second")} · ${rate(name, "transmit_errors", "per_second")}`,
                `${rate(name, "receive_drops", "per_second")} · ${rate(name, "transmit_drops", "per_second")}`,
              ],
            }))}
            empty="This host has no network interfaces in the agent's network namespace."
          />
        </Panel>
      </div>
    </>
  );
});
