import { memo, useMemo } from "react";
import { TimeChart } from "../../charts/TimeChart";
import { frameOf, useView } from "../../charts/view";
import { DataTable } from "../../components/DataTable";
import type { Agent } from "../../gen/sonde/v1/agent_pb";
import { present } from "../../lib/presence";
import { helpOf } from "../../lib/schema";
import { formatDuration, formatValue } from "../../lib/units";
import { Panel } from "./Panel";
import { field } from "./series";

const LIST = "agent.collectors";

const COUNTS = [
  ["ticks", "Ticks", "ticks"],
  ["lateTicks", "Late ticks", "late_ticks"],
  ["missedTicks", "Missed ticks", "missed_ticks"],
  ["queueLength", "Waiting", "queue_length"],
  ["acknowledgedSnapshots", "Acknowledged", "acknowledged_snapshots"],
  ["droppedSnapshots", "Dropped", "dropped_snapshots"],
  ["rejectedSnapshots", "Rejected", "rejected_snapshots"],
  ["reconnects", "Reconnects", "reconnects"],
] as const satisfies readonly (readonly [keyof Agent, string, string])[];

export const AgentSection = memo(function AgentSection() {
  const view = useView();
  const { history } = view;
  const data = useMemo(() => {
    const frame = frameOf(view);
    return {
      times: frame.times,
      cpu: [field(frame, "agent.cpu_us", 0, "CPU")],
      memory: [field(frame, "agent.resident_bytes", 3, "Memory")],
    };
  }, [view]);
  const agent = history.section("agent");
  const duration = (seconds: number | undefined) =>
    seconds === undefined ? formatValue(undefined, "seconds") : formatDuration(seconds);

  return (
    <>
      <h2 className="section-title">The agent itself</h2>
      <div className="grid" data-testid="panel-agent">
        <Panel title="CPU" hint="of one CPU" section="agent" span={4}>
          <TimeChart label="The agent's CPU" times={data.times} series={data.cpu} unit="ratio" height={150} />
        </Panel>
        <Panel title="Memory" section="agent" span={4}>
          <TimeChart label="The agent's memory" times={data.times} series={data.memory} unit="bytes" height={150} />
        </Panel>
        <Panel title="Ticks and delivery" hint="since the agent started" section="agent" span={4}>
          <dl className="keyvalues">
            {COUNTS.map(([key, label, name]) => {
              const value = present(agent, key);
              return (
                <div key={key} title={helpOf(`agent.${name}`)}>
                  <dt>{label}</dt>
                  <dd>{formatValue(value === undefined ? undefined : Number(value), "count")}</dd>
                </div>
              );
            })}
          </dl>
        </Panel>
        <Panel title="Collectors" section="agent" span={12}>
          <DataTable
            head={[
              { label: "Collector" },
              { label: "Mean time now", help: "Time a run took, over the last interval" },
              { label: "Mean time ever", help: "Time a run took, since the agent started" },
              { label: "Runs", help: helpOf(`${LIST}.runs`) },
              { label: "Failures", help: helpOf(`${LIST}.failures`) },
            ]}
            rows={(agent?.collectors ?? []).map((status) => {
              const runs = Number(present(status, "runs") ?? 0n);
              const spent = present(status, "durationUs");
              const [rate, busy] = [
                history.latest(`${LIST}.runs`, status.collector),
                history.latest(`${LIST}.duration_us`, status.collector),
              ];
              const failures = present(status, "failures");
              return {
                key: status.collector,
                cells: [
                  status.collector,
                  duration(rate && busy !== undefined ? busy / rate : undefined),
                  duration(runs > 0 && spent !== undefined ? Number(spent) / 1e6 / runs : undefined),
                  formatValue(present(status, "runs") === undefined ? undefined : runs, "count"),
                  formatValue(failures === undefined ? undefined : Number(failures), "count"),
                ],
              };
            })}
            empty="The agent does not report its collectors."
            first={20}
          />
        </Panel>
      </div>
    </>
  );
});
