/* Rows are few beside processes, and only some processes are shown: what was read is sorted, and found by halving. */
#include "agent/ebpf/process_network.h"

#include "agent/cgroups/tree.h"
#include "agent/ebpf/cgroup_rows.h"
#include "agent/ebpf/probe.h"
#include "agent/ebpf/refusal.h"
#include "agent/ebpf/tasks_table.h"
#include "agent/label.h"
#include "common/log.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/types.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/process_network.h"

#include <process_network.skel.h>

struct process_bytes {
	struct process_network_key key;
	struct process_network_bytes bytes;
	bool missing; /* not in the table */
};

struct process_network_probe {
	const struct collector_context *context;
	struct probe *probe; /* NULL: refused */
	struct process_network *skeleton;
	struct collector_state why;
	int error;
	/* By pid and start. */
	struct process_bytes rows[PROCESS_NETWORK_PROCESSES], before[PROCESS_NETWORK_PROCESSES];
	size_t n, n_before;
	struct cgroup_rows cgroups;
	struct cgroup_absence absent[PROCESS_NETWORK_CGROUPS];
	/* What the kernel hands over. */
	struct process_network_key keys[PROCESS_NETWORK_PROCESSES];
	__u64 ids[PROCESS_NETWORK_CGROUPS];
	struct process_network_bytes values[PROCESS_NETWORK_PROCESSES];
};

PROBE_SKELETON(process_network)

static const char *const programs[] = {
	[PROCESS_NETWORK_METER_SEND] = "send",
	[PROCESS_NETWORK_METER_RECEIVE] = "receive",
	[PROCESS_NETWORK_METERS] = NULL,
};

static const struct probe_kind kind = {
	.name = "process_network",
	.what = "the probe of socket calls",
	.since = "6.3",
	.open = open_skeleton,
	.destroy = destroy_skeleton,
	.meters = programs,
};

static int attach(struct process_network_probe *network, struct collector_state *state)
{
	for (size_t i = 0; programs[i]; i++) {
		if (!probe_has(network->probe, programs[i]))
			return collector_fail(state, SONDE__V1__STATE__CODE__CODE_UNAVAILABLE, -EOPNOTSUPP,
					      "no_process_network", "no bytes of socket calls: %.180s",
					      probe_refusal(network->probe, programs[i]));
		int r = probe_attach(network->probe, programs[i]);
		if (r < 0)
			return refusal_state(network->context, state, r, kind.what, "attach_failed");
	}
	return 0;
}

static int start(struct process_network_probe *network, struct collector_state *state)
{
	int r = probe_load(&kind, network->context, network, &network->probe, state);
	if (r < 0)
		return r;
	network->skeleton = probe_skeleton(network->probe);
	network->cgroups = (struct cgroup_rows){.map = bpf_map__fd(network->skeleton->maps.cgroups),
						.tree = network->context->cgroups,
						.absent = network->absent,
						.n = PROCESS_NETWORK_CGROUPS};
	r = attach(network, state);
	if (r < 0) {
		probe_free(network->probe);
		network->probe = NULL;
	}
	return r;
}

void process_network_list_off(const struct collector_context *context)
{
	probe_list_off(&kind, context, "it costs some 200 ns a call on a socket: extra: process_network asks for it");
}

int process_network_switch(const struct collector_context *context, bool wanted, struct process_network_probe **network,
			   struct collector_state *state)
{
	if (!wanted) {
		if (*network) {
			process_network_free(*network);
			process_network_list_off(context);
		}
		*network = NULL;
		return 0;
	}
	if (!*network) {
		struct process_network_probe *made = calloc(1, sizeof(*made));
		if (!made)
			return -ENOMEM;
		made->context = context;
		made->error = start(made, &made->why);
		*network = made;
	}
	if ((*network)->error < 0)
		*state = (*network)->why;
	return (*network)->error;
}

void process_network_free(struct process_network_probe *network)
{
	if (!network)
		return;
	probe_free(network->probe);
	free(network);
}

static int by_key(const void *a, const void *b)
{
	const struct process_network_key *p = &((const struct process_bytes *)a)->key;
	const struct process_network_key *q = &((const struct process_bytes *)b)->key;
	if (p->pid != q->pid)
		return p->pid < q->pid ? -1 : 1;
	return p->start_ns < q->start_ns ? -1 : p->start_ns > q->start_ns;
}

/* How many rows a map has, or negative errno. The kernel says ENOENT when it has come to the end, as it must with room
 * for all. */
static int read_map(const struct bpf_map *map, void *keys, struct process_network_bytes *values, __u32 room)
{
	struct process_network_key place;
	__u32 n = room;
	if (bpf_map_lookup_batch(bpf_map__fd(map), NULL, &place, keys, values, &n, NULL) < 0 && errno != ENOENT)
		return -errno;
	return (int)n;
}

static int read_processes(struct process_network_probe *network)
{
	int n = read_map(network->skeleton->maps.processes, network->keys, network->values, PROCESS_NETWORK_PROCESSES);
	if (n < 0)
		return n;
	network->n = (size_t)n;
	for (size_t i = 0; i < network->n; i++)
		network->rows[i] = (struct process_bytes){.key = network->keys[i], .bytes = network->values[i]};
	qsort(network->rows, network->n, sizeof(*network->rows), by_key);
	return 0;
}

/* Both are in the order of pids. A process that began after the table was read is in the next one. */
static void give_back(struct process_network_probe *network, const struct process_table *table)
{
	size_t kept = 0;
	for (size_t i = 0, k = 0; i < network->n; i++) {
		struct process_bytes *row = &network->rows[i];
		while (k < table->n && table->rows[k].pid < row->key.pid)
			k++;
		row->missing = k == table->n || table->rows[k].pid != row->key.pid ||
			       table->rows[k].start_ns != tasks_start_shown(row->key.start_ns);
		const struct process_bytes *before =
			bsearch(row, network->before, network->n_before, sizeof(*row), by_key);
		if (row->missing && before && before->missing &&
		    bpf_map_delete_elem(bpf_map__fd(network->skeleton->maps.processes), &row->key) == 0)
			continue;
		network->rows[kept++] = *row;
	}
	network->n = kept;
	memcpy(network->before, network->rows, kept * sizeof(*network->rows));
	network->n_before = kept;
}

static bool degraded(struct tick *tick, const struct collector_state *why)
{
	if (tick->state->code == SONDE__V1__STATE__CODE__CODE_UNSPECIFIED) {
		*tick->state = *why;
		tick->state->code = SONDE__V1__STATE__CODE__CODE_DEGRADED;
	}
	return false;
}

bool process_network_read(struct process_network_probe *network, const struct process_table *table, struct tick *tick)
{
	struct collector_state state = {.code = SONDE__V1__STATE__CODE__CODE_UNSPECIFIED};
	struct tick own = *tick;
	own.state = &state; /* the section goes on without */
	if (!probe_may_run(network->probe, &own) || attach(network, &state) < 0)
		return degraded(tick, &state);
	int r = read_processes(network);
	if (r < 0) {
		(void)collector_fail(&state, SONDE__V1__STATE__CODE__CODE_DEGRADED, r, "process_network",
				     "the bytes of socket calls cannot be read: %s", log_strerror(r));
		return degraded(tick, &state);
	}
	/* Of a table that is not whole nothing can be told. */
	if (table->left_out == 0)
		give_back(network, table);
	return true;
}

static const struct process_bytes *find(const struct process_network_probe *network, const struct process_row *row)
{
	size_t low = 0, high = network->n;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (network->rows[middle].key.pid < row->pid)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < network->n && network->rows[low].key.pid == row->pid; low++) {
		if (tasks_start_shown(network->rows[low].key.start_ns) == row->start_ns)
			return &network->rows[low];
	}
	return NULL;
}

void process_network_fill(const struct process_network_probe *network, const struct process_row *row,
			  Sonde__V1__Process *out)
{
	const struct process_bytes *found = find(network, row);
	/* Some kernels run no program while process 1 is current, and who found no room may have had some: neither is
	 * known to be 0. */
	if (!found &&
	    (row->pid == 1 || __atomic_load_n(&network->skeleton->bss->processes_left_out, __ATOMIC_RELAXED) > 0))
		return;
	SET(out, network_sent_bytes, found ? found->bytes.sent : 0);
	SET(out, network_received_bytes, found ? found->bytes.received : 0);
}

static int fill_cgroup(struct process_network_probe *network, size_t i, struct tick *tick, Sonde__V1__Processes *out)
{
	__u64 id = network->ids[i];
	bool gone;
	const struct cgroup *cgroup = cgroup_rows_find(&network->cgroups, id, tick->boottime_us, &gone);
	if (gone)
		return 0;
	Sonde__V1__CgroupNetwork *message = out->cgroup_network[out->n_cgroup_network];
	if (cgroup && !(message->cgroup = label_copy(tick->arena, cgroup->path, strlen(cgroup->path))))
		return -ENOMEM;
	SET(message, cgroup_id, id);
	SET(message, sent_bytes, network->values[i].sent);
	SET(message, received_bytes, network->values[i].received);
	out->n_cgroup_network++;
	return 0;
}

int process_network_fill_cgroups(struct process_network_probe *network, struct tick *tick, Sonde__V1__Processes *out)
{
	SET(out, network_without_process_bytes,
	    __atomic_load_n(&network->skeleton->bss->processes_left_out, __ATOMIC_RELAXED));
	SET(out, network_without_cgroup_bytes,
	    __atomic_load_n(&network->skeleton->bss->cgroups_left_out, __ATOMIC_RELAXED));
	int n = read_map(network->skeleton->maps.cgroups, network->ids, network->values, PROCESS_NETWORK_CGROUPS);
	if (n <= 0)
		return 0; /* a map that cannot be read was said of the processes' already */
	out->cgroup_network = (void *)arena_messages(tick->arena, &sonde__v1__cgroup_network__descriptor, (size_t)n);
	if (!out->cgroup_network)
		return -ENOMEM;
	int r = 0;
	for (size_t i = 0; r == 0 && i < (size_t)n; i++)
		r = fill_cgroup(network, i, tick, out);
	return r;
}
