#include "agent/ebpf/scheduler_cgroups.h"

#include "agent/cgroups/tree.h"
#include "agent/ebpf/cgroup_rows.h"
#include "agent/ebpf/histogram.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bpf/scheduler.h"

struct scheduler_cgroups {
	int holder;
	struct cgroup_rows map;
	__u64 ids[SCHEDULER_CGROUPS];
	struct scheduler_cgroup rows[SCHEDULER_CGROUPS];
	struct cgroup_absence absent[SCHEDULER_CGROUPS];
};

static const char *const state_names[SCHEDULER_OFF_STATES] = {
	[SCHEDULER_OFF_RUNNABLE] = "runnable",
	[SCHEDULER_OFF_INTERRUPTIBLE] = "interruptible",
	[SCHEDULER_OFF_UNINTERRUPTIBLE] = "uninterruptible",
	[SCHEDULER_OFF_IO] = "io",
	[SCHEDULER_OFF_IDLE] = "idle",
	[SCHEDULER_OFF_OTHER] = "other",
};

static bool is_empty(const struct probe_histogram *histogram)
{
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		if (histogram->counts[i] != 0)
			return false;
	}
	return true;
}

int scheduler_fill_off_cpu(const struct probe_histogram *off, struct arena *arena, Sonde__V1__OffCpu ***ret,
			   size_t *ret_n)
{
	Sonde__V1__OffCpu **messages =
		(void *)arena_messages(arena, &sonde__v1__off_cpu__descriptor, SCHEDULER_OFF_STATES);
	if (!messages)
		return -ENOMEM;
	size_t n = 0;
	for (unsigned i = 0; i < SCHEDULER_OFF_STATES; i++) {
		if (is_empty(&off[i]))
			continue;
		messages[n]->reason = (char *)state_names[i]; /* packed, never written to */
		int r = histogram_fill(&off[i], arena, &messages[n]->time_ns);
		if (r < 0)
			return r;
		n++;
	}
	*ret = messages;
	*ret_n = n;
	return 0;
}

static const __u32 place = 0; /* the holder's only one */

int scheduler_cgroups_new(int holder, struct cgroup_tree *tree, struct scheduler_cgroups **ret)
{
	struct scheduler_cgroups *cgroups = calloc(1, sizeof(*cgroups));
	if (!cgroups)
		return -ENOMEM;
	cgroups->holder = holder;
	cgroups->map = (struct cgroup_rows){.tree = tree, .absent = cgroups->absent, .n = SCHEDULER_CGROUPS};
	cgroups->map.map = bpf_map_create(BPF_MAP_TYPE_HASH, "cgroup_rows", sizeof(__u64),
					  sizeof(struct scheduler_cgroup), SCHEDULER_CGROUPS, NULL);
	if (cgroups->map.map < 0 || bpf_map_update_elem(holder, &place, &cgroups->map.map, BPF_ANY) < 0) {
		int error = -errno;
		scheduler_cgroups_free(cgroups);
		return error;
	}
	*ret = cgroups;
	return 0;
}

void scheduler_cgroups_free(struct scheduler_cgroups *cgroups)
{
	if (!cgroups)
		return;
	if (cgroups->map.map >= 0) {
		(void)bpf_map_delete_elem(cgroups->holder, &place); /* goes with the object at the latest */
		close(cgroups->map.map);
	}
	free(cgroups);
}

/* How many were read, or negative errno. The kernel says ENOENT when it has come to the end, as it must with room for
 * all. */
static int read_rows(struct scheduler_cgroups *cgroups)
{
	__u64 next;
	__u32 n = SCHEDULER_CGROUPS;
	if (bpf_map_lookup_batch(cgroups->map.map, NULL, &next, cgroups->ids, cgroups->rows, &n, NULL) < 0 &&
	    errno != ENOENT)
		return -errno;
	return (int)n;
}

static int fill_row(const struct scheduler_cgroup *row, const struct cgroup *cgroup, __u64 id, struct arena *arena,
		    Sonde__V1__SchedulerCgroup *message)
{
	if (cgroup) {
		message->path = arena_strndup(arena, cgroup->path, strlen(cgroup->path));
		if (!message->path)
			return -ENOMEM;
	}
	SET(message, id, id);
	int r = histogram_fill(&row->run_queue, arena, &message->run_queue_latency_ns);
	return r < 0 ? r : scheduler_fill_off_cpu(row->off, arena, &message->off_cpu, &message->n_off_cpu);
}

int scheduler_cgroups_fill(struct scheduler_cgroups *cgroups, struct tick *tick, Sonde__V1__Scheduler *message)
{
	int walked = cgroups->map.tree ? cgroup_tree_refresh(cgroups->map.tree, tick->boottime_us) : 0;
	if (walked == -ENOMEM)
		return walked; /* any other failure leaves the names that were known */
	int n = read_rows(cgroups);
	if (n <= 0)
		return n;
	Sonde__V1__SchedulerCgroup **messages =
		(void *)arena_messages(tick->arena, &sonde__v1__scheduler_cgroup__descriptor, (size_t)n);
	if (!messages)
		return -ENOMEM;
	message->cgroups = messages;
	for (int i = 0; i < n; i++) {
		bool gone;
		const struct cgroup *cgroup =
			cgroup_rows_find(&cgroups->map, cgroups->ids[i], tick->boottime_us, &gone);
		if (gone)
			continue;
		int r = fill_row(&cgroups->rows[i], cgroup, cgroups->ids[i], tick->arena, messages[message->n_cgroups]);
		if (r < 0)
			return r;
		message->n_cgroups++;
	}
	return 0;
}
