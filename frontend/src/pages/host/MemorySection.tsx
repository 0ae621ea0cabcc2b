import { memo, useMemo } from "react";
import { TimeChart } from "../../charts/TimeChart";
import { frameOf, useView } from "../../charts/view";
import { lessOf } from "../../lib/derive";
import { helpOf } from "../../lib/schema";
import { formatValue } from "../../lib/units";
import { Panel } from "./Panel";
import { field } from "./series";

export const MemorySection = memo(function MemorySection() {
  const view = useView();
  const { history } = view;
  const data = useMemo(() => {
    const frame = frameOf(view);
    const of = (name: string) => frame.cells(`memory.${name}`);
    const [total, free, buffers, cached] = [
      of("total_bytes"),
      of("free_bytes"),
      of("buffers_bytes"),
      of("cached_bytes"),
    ];
    const [shared, reclaimable] = [of("shared_bytes"), of("slab_reclaimable_bytes")];
    return {
      times: frame.times,
      // Parts that add up to the total with what is free, so that nothing is counted twice.
      stack: [
        {
          label: "Programs and kernel",
          help: "Total less free memory, caches and buffers",
          color: "--c1",
          values: lessOf(total, free, buffers, cached, reclaimable),
        },
        { label: "Shared", help: helpOf("memory.shared_bytes"), color: "--c4", values: shared },
        {
          label: "Page cache",
          help: "Cached files without shared memory: given back when programs need it",
          color: "--c3",
          values: lessOf(cached, shared),
        },
        { label: "Buffers", help: helpOf("memory.buffers_bytes"), color: "--c7", values: buffers },
        {
          label: "Reclaimable slab",
          help: helpOf("memory.slab_reclaimable_bytes"),
          color: "--c2",
          values: reclaimable,
        },
      ],
      written: [
        {
          label: "Swap used",
          help: helpOf("summary.swap_used_ratio"),
          color: "--c5",
          values: lessOf(of("swap_total_bytes"), of("swap_free_bytes")),
        },
        field(frame, "memory.dirty_bytes", 1),
        field(frame, "memory.writeback_bytes", 3, "Being written back"),
        field(frame, "memory.committed_bytes", 7, "Committed"),
      ],
    };
  }, [view]);
  const total = history.latest("memory.total_bytes");
  const available = history.latest("memory.available_bytes");
  return (
    <>
      <h2 className="section-title">Memory</h2>
      <div className="grid">
        <Panel
          title="Memory in use"
          hint={`${formatValue(available, "bytes")} of ${formatValue(total, "bytes")} available to programs`}
          section="memory"
          testId="panel-memory"
          span={8}
        >
          <TimeChart
            label="Memory in use"
            times={data.times}
            series={data.stack}
            unit="bytes"
            stack
            max={total}
            height={190}
          />
        </Panel>
        <Panel title="Swap, dirty and promised pages" section="memory" span={4}>
          <TimeChart
            label="Swap, dirty and promised pages"
            times={data.times}
            series={data.written}
            unit="bytes"
            height={190}
          />
        </Panel>
      </div>
    </>
  );
});
