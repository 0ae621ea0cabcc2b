/* The kernel prints the per-CPU counters of softnet and connection tracking in 32 bits: a million packets a second come
 * round in 72 minutes. The agent keeps the 64-bit totals, so that what travels is an ordinary counter. */
#include "agent/collectors/network_stack.h"

#include "agent/collectors/proc_net_sockstat.h"
#include "agent/collectors/proc_net_softnet.h"
#include "agent/scan.h"
#include "common/rate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct softnet_totals {
	bool is_known;
	uint64_t processed, dropped, time_squeezed, received_rps, flow_limited;
};

int network_stack_init(struct network_stack *self, const struct net_dir *dir)
{
	const struct root *root = dir->root;
	long page = sysconf(_SC_PAGESIZE);
	*self = (struct network_stack){.of_init = dir->of_init, .page_bytes = page > 0 ? (uint64_t)page : 4096};
	self->softnet_totals = calloc(NETWORK_STACK_MAX_CPUS, sizeof(*self->softnet_totals));
	if (!self->softnet_totals)
		return -ENOMEM;
	net_file_init(&self->sockstat, root, net_path(dir, NET_PATH("sockstat")));
	net_file_init(&self->sockstat6, root, net_path(dir, NET_PATH("sockstat6")));
	net_file_init(&self->softnet, root, net_path(dir, NET_PATH("softnet_stat")));
	net_file_init(&self->conntrack, root, net_path(dir, NET_PATH("stat/nf_conntrack")));
	net_file_init(&self->conntrack_count, root, "proc/sys/net/netfilter/nf_conntrack_count");
	net_file_init(&self->conntrack_max, root, "proc/sys/net/netfilter/nf_conntrack_max");
	return 0;
}

void network_stack_close(struct network_stack *self)
{
	net_file_close(&self->sockstat);
	net_file_close(&self->sockstat6);
	net_file_close(&self->softnet);
	net_file_close(&self->conntrack);
	net_file_close(&self->conntrack_count);
	net_file_close(&self->conntrack_max);
	free(self->softnet_totals);
	self->softnet_totals = NULL;
}

static int take_sockets(struct network_stack *self, struct tick *tick, Sonde__V1__Network *out)
{
	struct net_file *files[] = {&self->sockstat, &self->sockstat6};
	Sonde__V1__NetworkSockets *sockets = arena_message(tick->arena, &sonde__v1__network_sockets__descriptor);
	bool found = false;
	if (!sockets)
		return -ENOMEM;
	for (size_t i = 0; i < 2; i++) {
		if (!net_file_read(files[i], tick->boottime_us))
			continue;
		if (proc_net_sockstat_parse(files[i]->file.text, files[i]->file.len, self->page_bytes, sockets) < 0) {
			net_file_malformed(files[i], tick->state);
			return 0;
		}
		found = true;
	}
	if (found)
		out->sockets = sockets;
	return 0;
}

static void extend(uint64_t *total, bool is_known, uint32_t raw)
{
	*total = is_known ? rate_extend_u32(*total, raw) : raw;
}

static void fill_softnet(const struct softnet_row *row, uint32_t cpu, struct softnet_totals *totals,
			 Sonde__V1__NetworkSoftnet *out)
{
	const uint32_t *v = row->values;
	extend(&totals->processed, totals->is_known, v[SOFTNET_PROCESSED]);
	extend(&totals->dropped, totals->is_known, v[SOFTNET_DROPPED]);
	extend(&totals->time_squeezed, totals->is_known, v[SOFTNET_TIME_SQUEEZED]);
	extend(&totals->received_rps, totals->is_known, v[SOFTNET_RECEIVED_RPS]);
	extend(&totals->flow_limited, totals->is_known, v[SOFTNET_FLOW_LIMITED]);
	totals->is_known = true;
	SET(out, cpu, cpu);
	SET(out, processed, totals->processed);
	SET(out, dropped, totals->dropped);
	SET(out, time_squeezed, totals->time_squeezed);
	if (row->n_values > SOFTNET_RECEIVED_RPS)
		SET(out, received_rps, totals->received_rps);
	if (row->n_values > SOFTNET_FLOW_LIMITED)
		SET(out, flow_limited, totals->flow_limited);
	if (row->n_values > SOFTNET_BACKLOG)
		SET(out, backlog_packets, v[SOFTNET_BACKLOG]);
}

/* Without a column for it, a CPU's number is its line's: wrong only where CPUs before it are offline. */
static int take_softnet(struct network_stack *self, struct tick *tick, Sonde__V1__Network *out)
{
	if (!net_file_read(&self->softnet, tick->boottime_us))
		return 0;
	const char *text = self->softnet.file.text;
	size_t len = self->softnet.file.len, lines = scan_count_lines(text, len), n = 0, left_out = 0;
	size_t room = lines < NETWORK_STACK_MAX_CPUS ? lines : NETWORK_STACK_MAX_CPUS;
	struct proc_net_softnet_reader reader = proc_net_softnet_reader(text, len);
	struct softnet_row row;
	int r = 0;
	Sonde__V1__NetworkSoftnet **rows = arena_messages(tick->arena, &sonde__v1__network_softnet__descriptor, room);
	if (!rows && room > 0)
		return -ENOMEM;
	for (uint32_t line = 0; (r = proc_net_softnet_next(&reader, &row)) > 0; line++) {
		uint32_t cpu = row.n_values > SOFTNET_CPU ? row.values[SOFTNET_CPU] : line;
		if (cpu >= NETWORK_STACK_MAX_CPUS || n == room)
			left_out++;
		else
			fill_softnet(&row, cpu, &self->softnet_totals[cpu], rows[n++]);
	}
	if (r < 0) {
		net_file_malformed(&self->softnet, tick->state);
		return 0;
	}
	out->softnet = rows;
	out->n_softnet = n;
	if (left_out > 0)
		(void)collector_fail(tick->state, SONDE__V1__STATE__CODE__CODE_DEGRADED, 0, "too_many_cpus",
				     "the receive work of %zu CPUs beyond number %d is not shown", left_out,
				     NETWORK_STACK_MAX_CPUS - 1);
	return 0;
}

static bool read_number(struct net_file *file, struct tick *tick, uint64_t *ret)
{
	struct scan rest, line;
	if (!net_file_read(file, tick->boottime_us))
		return false;
	rest = scan_text(file->file.text, file->file.len);
	if (scan_line(&rest, &line) > 0 && scan_u64(&line, ret) == 0)
		return true;
	net_file_malformed(file, tick->state);
	return false;
}

/* A setting: read again now and then, and by whoever is watching. */
static bool read_limit(struct network_stack *self, struct tick *tick)
{
	if (self->has_max_entries && !tick->watched && tick->boottime_us < self->max_entries_until_us)
		return true;
	self->has_max_entries = read_number(&self->conntrack_max, tick, &self->max_entries);
	self->max_entries_until_us = tick->boottime_us + NETWORK_STACK_LIMIT_US;
	return self->has_max_entries;
}

static void fill_conntrack(struct network_stack *self, const struct proc_net_conntrack *stat,
			   Sonde__V1__NetworkConntrack *out)
{
	uint64_t *totals = self->conntrack_totals;
	for (unsigned i = 0; i < CONNTRACK_VALUES; i++)
		extend(&totals[i], self->has_conntrack, stat->values[i]);
	self->has_conntrack = true;
#define TAKE(field, value)                                                                                             \
	do {                                                                                                           \
		if (stat->has[value])                                                                                  \
			SET(out, field, totals[value]);                                                                \
	} while (0)
	SET(out, entries, stat->values[CONNTRACK_ENTRIES]);
	TAKE(found, CONNTRACK_FOUND);
	TAKE(invalid, CONNTRACK_INVALID);
	TAKE(insert_failures, CONNTRACK_INSERT_FAILURES);
	TAKE(drops, CONNTRACK_DROPS);
	TAKE(early_drops, CONNTRACK_EARLY_DROPS);
	TAKE(icmp_errors, CONNTRACK_ICMP_ERRORS);
	TAKE(search_restarts, CONNTRACK_SEARCH_RESTARTS);
	TAKE(clashes_resolved, CONNTRACK_CLASHES_RESOLVED);
#undef TAKE
}

/* nf_conntrack_max is one for the whole kernel; nf_conntrack_count is always of the reader's own namespace, so that it
 * is asked only where that is the right one and the statistics are not built in. */
static int take_conntrack(struct network_stack *self, struct tick *tick, Sonde__V1__Network *out)
{
	struct proc_net_conntrack stat;
	uint64_t number;
	Sonde__V1__NetworkConntrack *conntrack = arena_message(tick->arena, &sonde__v1__network_conntrack__descriptor);
	if (!conntrack)
		return -ENOMEM;
	if (net_file_read(&self->conntrack, tick->boottime_us)) {
		if (proc_net_conntrack_parse(self->conntrack.file.text, self->conntrack.file.len, &stat) == 0)
			fill_conntrack(self, &stat, conntrack);
		else
			net_file_malformed(&self->conntrack, tick->state);
	} else if (!self->of_init && read_number(&self->conntrack_count, tick, &number)) {
		SET(conntrack, entries, number);
	}
	if (conntrack->has_entries && read_limit(self, tick))
		SET(conntrack, max_entries, self->max_entries);
	if (conntrack->has_entries)
		out->conntrack = conntrack;
	return 0;
}

int network_stack_collect(struct network_stack *self, struct tick *tick, Sonde__V1__Network *out)
{
	int r = take_sockets(self, tick, out);
	if (r == 0)
		r = take_softnet(self, tick, out);
	if (r == 0)
		r = take_conntrack(self, tick, out);
	return r;
}
