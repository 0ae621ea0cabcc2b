#include "agent/ebpf/cgroup_rows.h"

#include "agent/cgroups/tree.h"

#include <bpf/bpf.h>
#include <errno.h>

#define GONE_AFTER_US (3 * (uint64_t)CGROUP_TREE_PERIOD_MS * 1000)

/* Its place, or one that is free, or NULL. */
static struct cgroup_absence *absence_of(struct cgroup_rows *rows, __u64 id)
{
	struct cgroup_absence *free_place = NULL;
	for (size_t i = 0; i < rows->n; i++) {
		if (rows->absent[i].id == id)
			return &rows->absent[i];
		if (rows->absent[i].id == 0)
			free_place = &rows->absent[i];
	}
	return free_place;
}

/* True when the row was given back. */
static bool note_absent(struct cgroup_rows *rows, __u64 id, uint64_t now_us)
{
	struct cgroup_absence *absence = absence_of(rows, id);
	if (!absence || cgroup_tree_count(rows->tree) == 0)
		return false;
	if (absence->id == 0)
		*absence = (struct cgroup_absence){.id = id, .since_us = now_us};
	if (now_us - absence->since_us < GONE_AFTER_US)
		return false;
	if (bpf_map_delete_elem(rows->map, &id) < 0 && errno != ENOENT)
		return false;
	absence->id = 0;
	return true;
}

const struct cgroup *cgroup_rows_find(struct cgroup_rows *rows, __u64 id, uint64_t now_us, bool *ret_gone)
{
	const struct cgroup *cgroup = rows->tree ? cgroup_tree_find(rows->tree, id) : NULL;
	*ret_gone = rows->tree && !cgroup && note_absent(rows, id, now_us);
	struct cgroup_absence *absence = cgroup ? absence_of(rows, id) : NULL;
	if (absence && absence->id == id)
		absence->id = 0;
	return cgroup;
}
