/* An interface costs 8 us a file in sysfs, and a busy container host has a thousand: reading all of it at every tick,
 * or asking rtnetlink for all (4 us an interface, under the lock of all network settings), would cost more than all
 * other collectors together. So the kernel is asked to say what changed, and only that is read. */
#include "agent/collectors/network_interfaces.h"

#include "agent/collectors/link_events.h"
#include "agent/collectors/proc_net_dev.h"
#include "agent/collectors/source.h"
#include "agent/label.h"
#include "agent/scan.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define FILE_MAX ((size_t)4 << 20)
/* Everything is looked at once in so long: what changes without an event (a speed negotiated anew) is found then. */
#define ROUND_US 60000000
/* One at most is looked at in so long where the kernel tells of changes; a thousand interfaces take a quarter of an
 * hour then, instead of 2 ms a tick. */
#define TURN_US 1000000
/* Known interfaces that are read again in one tick; the others wait for the next. New ones are always read: without its
 * index a counter's history cannot be told from another's. */
#define REREADS_MAX 16

struct interface {
	struct roster_entry entry;
	bool is_stale;	  /* to be read again */
	bool wants_speed; /* to be asked for on the slow lane */
	struct network_link link;
	struct network_link_speed speed;
	uint64_t receive_packets, transmit_packets; /* at the last tick: going backwards means another interface */
};

struct shown {
	struct net_dev_row row;
	const struct interface *interface;
};

int network_interfaces_open(struct network_interfaces *self, const struct collector_context *context,
			    const struct net_dir *dir, struct collector_state *state)
{
	*self = (struct network_interfaces){.root = context->root, .events = -1};
	self->speeds = network_speeds_new(context);
	if (!self->speeds || roster_init(&self->roster, sizeof(struct interface), NETWORK_MAX_INTERFACES) < 0)
		return source_no_room(state);
	if (context->live) {
		int fd = link_events_open();
		self->events = fd < 0 ? -1 : fd; /* without it changes are found in turn */
	}
	int r = source_open(context, net_path(dir, NET_PATH("dev")), FILE_MAX, &self->file, state);
	self->file.has_short_records = true;
	return r;
}

void network_interfaces_close(struct network_interfaces *self)
{
	root_file_close(&self->file);
	roster_free(&self->roster);
	network_speeds_free(self->speeds);
	if (self->events >= 0)
		close(self->events);
	*self = (struct network_interfaces){.events = -1};
}

static struct interface *at(const struct network_interfaces *self, size_t i)
{
	return roster_at(&self->roster, i);
}

static void take_answers(struct network_interfaces *self)
{
	const struct network_speeds_answer *answers;
	size_t n = network_speeds_take(self->speeds, &answers);
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < self->roster.n; k++) {
			struct interface *interface = at(self, k);
			if (strcmp(interface->entry.name, answers[i].name) != 0)
				continue;
			if (interface->link.has_ifindex == answers[i].has_ifindex &&
			    interface->link.ifindex == answers[i].ifindex)
				interface->speed = answers[i].speed;
			break;
		}
	}
}

static bool is_in(const struct link_changes *changes, const struct network_link *link)
{
	for (size_t i = 0; link->has_ifindex && i < changes->n; i++) {
		if (changes->ifindexes[i] == link->ifindex)
			return true;
	}
	return false;
}

static void mark_stale(struct network_interfaces *self, uint64_t now_us)
{
	struct link_changes changes;
	link_events_read(self->events, &changes);
	for (size_t i = 0; (changes.n > 0 || changes.all) && i < self->roster.n; i++) {
		struct interface *interface = at(self, i);
		interface->is_stale |= changes.all || is_in(&changes, &interface->link);
	}
	if (now_us < self->next_turn_us || self->roster.n == 0)
		return;
	size_t turns = ROUND_US / TURN_US, n = self->roster.n;
	/* Behind --root there may be another namespace, of which no events come. */
	bool is_told = self->events >= 0 && !self->root->recorded;
	self->next_turn_us = now_us + (is_told && n < turns ? ROUND_US / n : TURN_US);
	for (size_t i = 0; i < (is_told ? 1 : n / turns + 1); i++) {
		self->turn = self->turn < self->roster.n ? self->turn : 0;
		at(self, self->turn++)->is_stale = true;
	}
}

static void read_link(struct network_interfaces *self, struct interface *interface)
{
	struct network_link last = interface->link;
	network_link_read(self->root, interface->entry.name, &interface->link);
	if (last.has_ifindex != interface->link.has_ifindex || last.ifindex != interface->link.ifindex)
		interface->speed = (struct network_link_speed){.has_speed = false};
	/* Until it is asked for again, an old answer would contradict operstate. */
	if (last.carrier_changes != interface->link.carrier_changes)
		interface->speed.has_carrier = false;
	interface->wants_speed = interface->link.is_there;
	interface->is_stale = false;
}

/* One that is made anew begins to count anew; one that comes back between two ticks with more than it had before is
 * found by its event, or when its turn comes. A 32-bit counter that came round costs a reading of sysfs and no more. */
static void update_interface(struct network_interfaces *self, bool is_new, size_t *rereads,
			     const struct net_dev_row *row, struct interface *interface)
{
	uint64_t receive = row->values[NET_DEV_RECEIVE_PACKETS], transmit = row->values[NET_DEV_TRANSMIT_PACKETS];
	if (is_new || receive < interface->receive_packets || transmit < interface->transmit_packets) {
		read_link(self, interface);
	} else if (interface->is_stale && *rereads < REREADS_MAX) {
		read_link(self, interface);
		(*rereads)++;
	}
	interface->receive_packets = receive;
	interface->transmit_packets = transmit;
}

static int take_rows(struct network_interfaces *self, struct shown *shown, size_t *ret_n, size_t *ret_overflow)
{
	struct proc_net_dev_reader reader;
	struct net_dev_row row;
	size_t n = 0, overflow = 0, rereads = 0;
	int r = proc_net_dev_reader(self->file.text, self->file.len, &reader);
	if (r < 0)
		return r;

	roster_begin(&self->roster);
	while ((r = proc_net_dev_next(&reader, &row)) > 0) {
		void *item;
		int taken = roster_take(&self->roster, row.name, row.name_len, &item);
		if (taken == -EEXIST)
			continue;
		if (taken < 0) {
			overflow++;
			continue;
		}
		update_interface(self, taken > 0, &rereads, &row, item);
		shown[n++] = (struct shown){.row = row, .interface = item};
	}
	if (r < 0)
		return r;
	*ret_n = n;
	*ret_overflow = overflow;
	return 0;
}

static int fill_link(struct arena *arena, const struct interface *interface, Sonde__V1__Interface *out)
{
	const struct network_link *link = &interface->link;
	const struct network_link_speed *speed = &interface->speed;
	const struct {
		const char *text;
		char **field;
	} texts[] = {
		{link->kind, &out->kind},
		{link->master, &out->master},
		{link->operstate, &out->operstate},
		{speed->duplex, &out->duplex},
	};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		size_t len = strlen(texts[i].text);
		if (len > 0 && !(*texts[i].field = label_copy(arena, texts[i].text, len)))
			return -ENOMEM;
	}
	if (link->has_ifindex)
		SET(out, ifindex, link->ifindex);
	if (link->is_there || link->is_virtual)
		SET(out, virtual_, link->is_virtual);
	if (link->operstate[0] != '\0')
		SET(out, up, strcmp(link->operstate, "up") == 0);
	if (link->has_mtu)
		SET(out, mtu_bytes, link->mtu_bytes);
	if (link->has_carrier_changes)
		SET(out, carrier_changes, link->carrier_changes);
	if (speed->has_carrier)
		SET(out, carrier, speed->carrier);
	if (speed->has_speed)
		SET(out, speed_bytes_per_second, speed->bytes_per_second);
	return 0;
}

static int fill(struct arena *arena, const struct shown *shown, Sonde__V1__Interface *out)
{
	const uint64_t *v = shown->row.values;
	out->interface = label_copy(arena, shown->row.name, shown->row.name_len);
	if (!out->interface || fill_link(arena, shown->interface, out) < 0)
		return -ENOMEM;
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

static void ask_speeds(struct network_interfaces *self)
{
	for (size_t i = 0; i < self->roster.n; i++) {
		struct interface *interface = at(self, i);
		if (!interface->wants_speed)
			continue;
		if (!network_speeds_ask(self->speeds, interface->entry.name, &interface->link))
			break;
		interface->wants_speed = false;
	}
	network_speeds_send(self->speeds);
}

int network_interfaces_collect(struct network_interfaces *self, struct tick *tick, Sonde__V1__Network *out)
{
	size_t n, overflow;
	int r = source_read(&self->file, tick->state);
	if (r < 0)
		return r;
	struct shown *shown =
		arena_alloc(tick->arena, scan_count_lines(self->file.text, self->file.len) * sizeof(*shown));
	if (!shown)
		return source_no_room(tick->state);
	take_answers(self);
	mark_stale(self, tick->boottime_us);
	r = take_rows(self, shown, &n, &overflow);
	if (r < 0)
		return source_malformed(&self->file, r, tick->state);

	out->interfaces = arena_messages(tick->arena, &sonde__v1__interface__descriptor, n);
	if (!out->interfaces && n > 0)
		return source_no_room(tick->state);
	for (size_t i = 0; i < n; i++) {
		if (fill(tick->arena, &shown[i], out->interfaces[i]) < 0)
			return source_no_room(tick->state);
	}
	out->n_interfaces = n;
	(void)roster_end(&self->roster);
	ask_speeds(self);
	if (overflow > 0)
		(void)collector_fail(tick->state, SONDE__V1__STATE__CODE__CODE_DEGRADED, 0, "too_many_interfaces",
				     "%zu interfaces beyond the first %d are not shown", overflow,
				     NETWORK_MAX_INTERFACES);
	return 0;
}
