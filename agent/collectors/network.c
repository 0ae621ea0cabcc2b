/* /proc/net/dev of the agent's network namespace, with what sysfs knows about each interface: its index, which tells it
 * from an earlier one of the same name, and whether there is hardware behind it. */
#include "agent/collectors/collectors.h"
#include "agent/collectors/proc_net_dev.h"
#include "agent/collectors/roster.h"
#include "agent/collectors/source.h"
#include "agent/label.h"
#include "agent/scan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX ((size_t)4 << 20)
#define MAX_INTERFACES 8192
#define PATH_SIZE 128
#define RECHECK_US 1000000

struct interface {
	struct roster_entry entry;
	bool has_ifindex;
	uint32_t ifindex;
	bool has_virtual;
	bool is_virtual;
	uint64_t receive_packets, transmit_packets; /* at the last tick: going backwards means another interface */
};

struct network {
	const struct root *root;
	struct root_file file;
	struct roster interfaces;
	size_t recheck;	  /* the interface whose turn it is to be looked at again */
	uint64_t next_us; /* when */
};

struct shown {
	struct net_dev_row row;
	const struct interface *interface;
};

static void destroy(void *self)
{
	struct network *network = self;
	if (!network)
		return;
	root_file_close(&network->file);
	roster_free(&network->interfaces);
	free(network);
}

static int create(const struct collector_context *context, void **ret_self, struct collector_state *state)
{
	struct network *network = calloc(1, sizeof(*network));
	if (!network || roster_init(&network->interfaces, sizeof(struct interface), MAX_INTERFACES) < 0) {
		destroy(network);
		return source_no_room(state);
	}
	network->root = context->root;
	int r = source_open(context, "proc/net/dev", FILE_MAX, &network->file, state);
	if (r < 0) {
		destroy(network);
		return r;
	}
	*ret_self = network;
	return 0;
}

static bool has_attribute(const struct root *root, const char *name, const char *attribute)
{
	char path[PATH_SIZE];
	(void)snprintf(path, sizeof(path), "sys/class/net/%s%s", name, attribute);
	return root_exists(root, path);
}

/* No device behind it: loopback, bridge, bond, veth, tunnel. A port of an interface that has a device itself (the
 * hardware port below a Hyper-V interface) counts as virtual too: its master counts the same bytes. Where sysfs is that
 * of another network namespace, only lo is known for what it is. */
static void read_attributes(const struct root *root, struct interface *interface)
{
	const char *name = interface->entry.name;
	char path[PATH_SIZE];
	unsigned long long number;

	(void)snprintf(path, sizeof(path), "sys/class/net/%s/ifindex", name);
	interface->has_ifindex = root_read_u64(root, path, &number) == 0 && number <= UINT32_MAX;
	if (interface->has_ifindex)
		interface->ifindex = (uint32_t)number;
	bool is_loopback = strcmp(name, "lo") == 0;
	interface->has_virtual = is_loopback || has_attribute(root, name, "");
	interface->is_virtual =
		is_loopback || !has_attribute(root, name, "/device") || has_attribute(root, name, "/master/device");
}

/* One that is made anew begins to count anew; one that comes back between two ticks with more than it had before is
 * found when its turn comes. */
static void update_interface(struct network *network, uint64_t now_us, bool is_new, const struct net_dev_row *row,
			     struct interface *interface)
{
	uint64_t receive = row->values[NET_DEV_RECEIVE_PACKETS], transmit = row->values[NET_DEV_TRANSMIT_PACKETS];
	bool turn =
		now_us >= network->next_us && roster_at(&network->interfaces, network->recheck) == (void *)interface;
	if (is_new || turn || receive < interface->receive_packets || transmit < interface->transmit_packets)
		read_attributes(network->root, interface);
	interface->receive_packets = receive;
	interface->transmit_packets = transmit;
}

static int take_rows(struct network *network, uint64_t now_us, struct shown *shown, size_t *ret_n, size_t *ret_overflow)
{
	struct proc_net_dev_reader reader;
	struct net_dev_row row;
	size_t n = 0, overflow = 0;
	int r = proc_net_dev_reader(network->file.text, network->file.len, &reader);
	if (r < 0)
		return r;

	roster_begin(&network->interfaces);
	while ((r = proc_net_dev_next(&reader, &row)) > 0) {
		void *item;
		int taken = roster_take(&network->interfaces, row.name, row.name_len, &item);
		if (taken == -EEXIST)
			continue;
		if (taken < 0) {
			overflow++;
			continue;
		}
		update_interface(network, now_us, taken > 0, &row, item);
		shown[n++] = (struct shown){.row = row, .interface = item};
	}
	if (r < 0)
		return r;
	*ret_n = n;
	*ret_overflow = overflow;
	return 0;
}

static int fill(struct arena *arena, const struct shown *shown, Sonde__V1__Interface *out)
{
	const uint64_t *v = shown->row.values;
	out->interface = label_copy(arena, shown->row.name, shown->row.name_len);
	if (!out->interface)
		return -ENOMEM;
	if (shown->interface->has_ifindex)
		SET(out, ifindex, shown->interface->ifindex);
	if (shown->interface->has_virtual)
		SET(out, virtual_, shown->interface->is_virtual);
	SET(out, receive_bytes, v[NET_DEV_RECEIVE_BYTES]);
	SET(out, receive_packets, v[NET_DEV_RECEIVE_PACKETS]);
	SET(out, receive_errors, v[NET_DEV_RECEIVE_ERRORS]);
	SET(out, receive_drops, v[NET_DEV_RECEIVE_DROPS]);
	SET(out, receive_fifo_errors, v[NET_DEV_RECEIVE_FIFO]);
	SET(out, receive_frame_errors, v[NET_DEV_RECEIVE_FRAME]);
	SET(out, receive_compressed, v[NET_DEV_RECEIVE_COMPRESSED]);
	SET(out, receive_multicast, v[NET_DEV_RECEIVE_MULTICAST]);
	SET(out, transmit_bytes, v[NET_DEV_TRANSMIT_BYTES]);
	SET(out, transmit_packets, v[NET_DEV_TRANSMIT_PACKETS]);
	SET(out, transmit_errors, v[NET_DEV_TRANSMIT_ERRORS]);
	SET(out, transmit_drops, v[NET_DEV_TRANSMIT_DROPS]);
	SET(out, transmit_fifo_errors, v[NET_DEV_TRANSMIT_FIFO]);
	SET(out, transmit_collisions, v[NET_DEV_TRANSMIT_COLLISIONS]);
	SET(out, transmit_carrier_errors, v[NET_DEV_TRANSMIT_CARRIER]);
	SET(out, transmit_compressed, v[NET_DEV_TRANSMIT_COMPRESSED]);
	return 0;
}

static int collect(void *self, struct tick *tick, ProtobufCMessage *section)
{
	struct network *network = self;
	Sonde__V1__Network *out = (Sonde__V1__Network *)section;
	size_t n, overflow;

	int r = source_read(&network->file, tick->state);
	if (r < 0)
		return r;
	struct shown *shown =
		arena_alloc(tick->arena, scan_count_lines(network->file.text, network->file.len) * sizeof(*shown));
	if (!shown)
		return source_no_room(tick->state);
	r = take_rows(network, tick->boottime_us, shown, &n, &overflow);
	if (r < 0)
		return source_malformed(&network->file, r, tick->state);

	out->interfaces = arena_messages(tick->arena, &sonde__v1__interface__descriptor, n);
	if (!out->interfaces && n > 0)
		return source_no_room(tick->state);
	for (size_t i = 0; i < n; i++) {
		if (fill(tick->arena, &shown[i], out->interfaces[i]) < 0)
			return source_no_room(tick->state);
	}
	out->n_interfaces = n;
	(void)roster_end(&network->interfaces);
	if (tick->boottime_us >= network->next_us) {
		network->recheck = network->recheck + 1 < network->interfaces.n ? network->recheck + 1 : 0;
		network->next_us = tick->boottime_us + RECHECK_US;
	}
	if (overflow > 0)
		(void)collector_fail(tick->state, SONDE__V1__STATE__CODE__CODE_DEGRADED, 0, "too_many_interfaces",
				     "%zu interfaces beyond the first %d are not shown", overflow, MAX_INTERFACES);
	return 0;
}

const struct collector collector_network = {
	.name = "network",
	.reads = "/proc/net/dev, /sys/class/net",
	.needs = "",
	.create = create,
	.collect = collect,
	.destroy = destroy,
};
