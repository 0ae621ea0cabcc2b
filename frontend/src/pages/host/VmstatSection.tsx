import { memo, useMemo } from "react";
import { TimeChart } from "../../charts/TimeChart";
import { frameOf, useView } from "../../charts/view";
import { Panel } from "./Panel";
import { field } from "./series";

export const VmstatSection = memo(function VmstatSection() {
  const view = useView();
  const data = useMemo(() => {
    const frame = frameOf(view);
    return {
      times: frame.times,
      paging: [
        field(frame, "vmstat.page_in_bytes", 0, "Page in"),
        field(frame, "vmstat.page_out_bytes", 1, "Page out"),
        field(frame, "vmstat.swap_in_bytes", 3, "Swap in"),
        field(frame, "vmstat.swap_out_bytes", 4, "Swap out"),
      ],
      faults: [
        field(frame, "vmstat.page_faults", 0),
        field(frame, "vmstat.major_page_faults", 4),
        field(frame, "vmstat.pages_allocated", 2),
        field(frame, "vmstat.pages_freed", 5),
      ],
      reclaim: [
        field(frame, "vmstat.pages_scanned_kswapd", 0, "Scanned, kswapd"),
        field(frame, "vmstat.pages_scanned_direct", 1, "Scanned, direct"),
        field(frame, "vmstat.pages_reclaimed_kswapd", 2, "Reclaimed, kswapd"),
        field(frame, "vmstat.pages_reclaimed_direct", 4, "Reclaimed, direct"),
        field(frame, "vmstat.oom_kills", 3, "OOM kills"),
      ],
    };
  }, [view]);
  return (
    <>
      <h2 className="section-title">Paging</h2>
      <div className="grid">
        <Panel title="Paging bandwidth" section="vmstat" testId="panel-vmstat" span={8}>
          <p className="panel-note">
            Traffic between the page cache and block devices, and between memory and swap. It is not the bandwidth of
            the memory itself (DRAM), which /proc/vmstat does not know.
          </p>
          <TimeChart label="Paging bandwidth" times={data.times} series={data.paging} unit="bytes_per_second" />
        </Panel>
        <Panel title="Reclaim" hint="pages" section="vmstat" span={4}>
          <TimeChart label="Reclaim" times={data.times} series={data.reclaim} unit="per_second" height={185} />
        </Panel>
        <Panel title="Page faults and allocations" section="vmstat" span={12}>
          <TimeChart label="Page faults and allocations" times={data.times} series={data.faults} unit="per_second" />
        </Panel>
      </div>
    </>
  );
});
