/* bench_fleet RECORDING --port P --key-file FILE --begin SECONDS [--zero NS] [--rate R] [--backlog 1] [--hold 0] and
 * what wish.h knows: hosts as in the recording (warp.h), each with a connection of its own and a real Ingest.Stream,
 * for tests/bench/storage/keeping.
 *
 * Live: the clock shows `begin` when CLOCK_MONOTONIC shows `zero` (now, if it is not given) and runs at `rate` times
 * its pace, as that of a backend under faketime does; each host sends each snapshot in its time, for --hours.
 * Backlog: each host has --hours that ended at `begin` and sends them as an agent does: 64 at a time, while less than
 * 64 KiB wait for the socket. Who is told to hold it does, or with --hold 0 knows no such word; who is told to come
 * again does, when it was told to, and sends what was not acknowledged; so does who lost its connection.
 *
 * CONNECTED when all are; then each line on standard input is answered with a line of JSON: what happened since the
 * line before. When all is acknowledged, or standard input ends and what was sent is acknowledged: the last of them. */
#include "backend/columns/columns.h"
#include "common/clock.h"
#include "common/grpc_frame.h"
#include "common/wire.h"
#include "tests/bench/caller.h"
#include "tests/bench/storage/wish.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { ACKNOWLEDGEMENT = 2, ACK_ACCEPTED = 1, ACK_REJECTED = 2 };
enum { HOLD = 6, HOLD_WAIT_MS = 1, HOLD_REFUSED = 3 };

#define RING 1024 /* snapshots of a live host on their way */
#define BATCH 64
#define BATCH_BYTES (512u << 10)
#define WAITING_BYTES (64u << 10)
#define AT_A_TIME 16 /* hosts that send before replies are looked at */
#define RETRY_MS 5000
#define LOST_MS 1000

struct host {
	struct caller caller; /* the first: an event's */
	struct fleet *fleet;
	uint32_t number;
	int64_t begin_us;
	uint64_t total;	   /* snapshots it has; UINT64_MAX while nobody knows */
	uint64_t next;	   /* to send, from 0 */
	uint64_t sent;	   /* it never sent one from here on */
	uint64_t accepted; /* all before it are, and those marked in `done` */
	bool *done;
	size_t cap_done;
	uint64_t retry_ns; /* it is not connected before */
	uint64_t hold_ns;  /* its backlog waits until then */
	uint64_t *sent_ns; /* RING, live */
	bool connected;
};

/* Since the line before. */
struct phase {
	uint64_t begin_ns, sent, accepted, rejected, samples, bytes, reconnects, holds, late_us;
	uint32_t *latencies_us;
	size_t n, cap;
};

struct fleet {
	struct wish wish;
	struct warp *warp;
	struct host *hosts;
	uint16_t port;
	char key[CALLER_KEY_SIZE];
	bool backlog, ending, takes_hold;
	double rate;
	uint64_t zero_ns;
	int64_t clock_us, end_us; /* at zero_ns; of what is sent */
	int epoll;
	uint32_t turn;
	struct phase phase;
};

static int64_t fleet_now_us(const struct fleet *f)
{
	return f->clock_us + (int64_t)((double)(int64_t)(clock_monotonic_ns() - f->zero_ns) / 1e3 * f->rate);
}

/* --- what comes --- */

static void note_latency(struct fleet *f, uint64_t ns)
{
	struct phase *p = &f->phase;
	if (p->n == p->cap) {
		p->cap = p->cap ? 2 * p->cap : 4096;
		p->latencies_us = realloc(p->latencies_us, p->cap * sizeof(*p->latencies_us));
		caller_must(p->latencies_us ? 0 : -ENOMEM, "memory");
	}
	p->latencies_us[p->n++] = (uint32_t)(ns / 1000 < UINT32_MAX ? ns / 1000 : UINT32_MAX);
}

static void note_accepted(struct host *h, uint64_t i, uint64_t now_ns)
{
	while (i >= h->cap_done) {
		size_t cap = h->cap_done ? 2 * h->cap_done : 1024;
		h->done = realloc(h->done, cap);
		caller_must(h->done ? 0 : -ENOMEM, "memory");
		memset(h->done + h->cap_done, 0, cap - h->cap_done);
		h->cap_done = cap;
	}
	if (h->done[i])
		return;
	h->done[i] = true;
	h->fleet->phase.accepted++;
	if (h->sent_ns)
		note_latency(h->fleet, now_ns - h->sent_ns[i % RING]);
}

/* What came again after a reconnect is counted once. */
static void accept(struct host *h, const struct wire_field *range)
{
	struct wire_reader reader = wire_reader(range->data, range->len);
	struct wire_field f;
	uint64_t first = 0, last = 0, now_ns = clock_monotonic_ns();
	while (wire_next(&reader, &f) == 1) {
		first = f.number == 1 ? f.value : first;
		last = f.number == 2 ? f.value : last;
	}
	if (first == 0 || last > h->sent) {
		(void)fprintf(stderr, "bench_fleet: host %u: %llu to %llu are accepted, %llu were sent\n", h->number,
			      (unsigned long long)first, (unsigned long long)last, (unsigned long long)h->sent);
		exit(1);
	}
	for (uint64_t sequence = first; sequence <= last; sequence++)
		note_accepted(h, sequence - 1, now_ns);
	while (h->accepted < h->cap_done && h->done[h->accepted])
		h->accepted++;
	h->next = h->next < h->accepted ? h->accepted : h->next; /* it was refused in between */
}

/* What was refused comes again, after as long as it is to wait or some seconds after the end of that. */
static void obey_hold(struct host *h, const uint8_t *data, size_t len)
{
	struct wire_reader reader = wire_reader(data, len);
	struct wire_field f;
	uint64_t wait_ms = 0, place = h->number % 100;
	while (wire_next(&reader, &f) == 1) {
		wait_ms = f.number == HOLD_WAIT_MS ? f.value : wait_ms;
		if (f.number == HOLD_REFUSED)
			h->next = h->accepted;
	}
	h->hold_ns = clock_monotonic_ns() + (wait_ms ? wait_ms * (400 + place) / 400 : place * 100) * 1000000;
	h->fleet->phase.holds += wait_ms > 0;
}

static void on_field(void *arg, uint32_t number, const uint8_t *data, size_t len)
{
	struct host *h = arg;
	struct wire_reader reader = wire_reader(data, len);
	struct wire_field f;
	if (number == HOLD)
		obey_hold(h, data, len);
	if (number != ACKNOWLEDGEMENT)
		return;
	while (wire_next(&reader, &f) == 1) {
		if (f.number == ACK_ACCEPTED)
			accept(h, &f);
		h->fleet->phase.rejected += f.number == ACK_REJECTED;
	}
}

/* --- what is said --- */

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

static double latency_ms(const struct phase *p, double share)
{
	return p->n == 0 ? 0 : p->latencies_us[(size_t)(share * (double)(p->n - 1))] / 1e3;
}

static void say(struct fleet *f)
{
	struct phase *p = &f->phase;
	uint64_t now_ns = clock_monotonic_ns(), waiting = 0;
	for (uint32_t i = 0; i < f->wish.hosts; i++)
		waiting += f->hosts[i].next - f->hosts[i].accepted;
	if (p->n > 0)
		qsort(p->latencies_us, p->n, sizeof(*p->latencies_us), by_value);
	printf("{\"seconds\":%.3f,\"sent\":%llu,\"accepted\":%llu,\"rejected\":%llu,\"waiting\":%llu,\"reconnects\":%"
	       "llu,\"holds\":%llu,"
	       "\"samples\":%llu,\"bytes\":%llu,\"late_ms\":%.1f,\"p50_ms\":%.2f,\"p99_ms\":%.2f,\"worst_ms\":%.2f}\n",
	       (double)(now_ns - p->begin_ns) / 1e9, (unsigned long long)p->sent, (unsigned long long)p->accepted,
	       (unsigned long long)p->rejected, (unsigned long long)waiting, (unsigned long long)p->reconnects,
	       (unsigned long long)p->holds, (unsigned long long)p->samples, (unsigned long long)p->bytes,
	       (double)p->late_us / 1e3, latency_ms(p, 0.5), latency_ms(p, 0.99), latency_ms(p, 1));
	if (fflush(stdout) != 0)
		exit(1);
	*p = (struct phase){.begin_ns = now_ns, .latencies_us = p->latencies_us, .cap = p->cap};
}

/* A line of standard input, or its end. */
static void take_word(struct fleet *f)
{
	char word[64];
	ssize_t n = read(STDIN_FILENO, word, sizeof(word));
	if (n > 0) {
		say(f);
		return;
	}
	f->ending = true;
	(void)epoll_ctl(f->epoll, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
}

/* --- connections --- */

static void connect_host(struct host *h)
{
	struct columns_tick tick;
	const uint8_t *payload;
	size_t len;
	warp_snapshot(h->fleet->warp, h->number, 0, h->begin_us, &tick, &payload, &len);
	memcpy(h->caller.instance, tick.instance, sizeof(h->caller.instance));
	h->next = h->accepted;
	h->hold_ns = 0;
	h->connected = true;
	caller_open(&h->caller);
}

/* As an agent does that was told to come again or lost its connection: nothing is lost, and what was not acknowledged
 * is sent again. */
static void disconnect(struct host *h)
{
	int status = -1;
	const char *text;
	uint64_t wait_ms = call_retry_ms(h->caller.call);
	/* The second: a backend whose clock is fast soon tires of waiting for Hello. */
	bool told = call_ended(h->caller.call, &status, &text) &&
		    (status == GRPC_UNAVAILABLE || status == GRPC_DEADLINE_EXCEEDED);
	if (!told && !h->caller.lost)
		caller_complain(&h->caller);
	wait_ms = wait_ms ? wait_ms : told ? RETRY_MS : LOST_MS;
	caller_close(&h->caller);
	h->connected = false;
	/* Not all at the same moment. */
	h->retry_ns = clock_monotonic_ns() + wait_ms * (1000000 + (uint64_t)(h->number % 100) * 5000);
	h->fleet->phase.reconnects++;
}

static void go_on(struct host *h)
{
	bool there = caller_read(&h->caller);
	if (there)
		caller_flush(&h->caller);
	if (!there || h->caller.lost)
		disconnect(h);
}

static void read_replies(struct fleet *f, int timeout_ms)
{
	struct epoll_event events[256];
	int n = epoll_wait(f->epoll, events, 256, timeout_ms);
	for (int i = 0; i < n; i++) {
		struct host *h = events[i].data.ptr;
		if (!h)
			take_word(f);
		else if (h->connected)
			go_on(h);
	}
}

/* --- what goes --- */

static void put_snapshot(struct host *h, struct buf *batch)
{
	struct fleet *f = h->fleet;
	struct columns_tick tick;
	const uint8_t *payload;
	size_t len;
	warp_snapshot(f->warp, h->number, h->next, h->begin_us, &tick, &payload, &len);
	caller_must(wire_put_bytes(batch, 1, payload, len), "a batch");
	f->phase.sent++;
	f->phase.bytes += len;
	f->phase.samples += warp_samples(f->warp, h->number, h->next);
	if (h->sent_ns)
		h->sent_ns[h->next % RING] = clock_monotonic_ns();
	h->next++;
	h->sent = h->next > h->sent ? h->next : h->sent;
}

/* Frees it; false when there is nothing in it. */
static bool send_batch(struct host *h, struct buf *batch)
{
	bool any = batch->len > 0;
	if (any)
		caller_send_batch(&h->caller, batch->data, batch->len);
	buf_free(batch);
	return any;
}

/* What is due by now: mostly nothing. */
static bool send_live(struct host *h, int64_t now_us)
{
	struct fleet *f = h->fleet;
	struct buf batch = BUF_INIT(4u << 20);
	int64_t due_us = 0;
	if (!h->caller.welcomed || f->ending || call_backlog(h->caller.call) >= WAITING_BYTES)
		return false;
	for (unsigned i = 0; i < BATCH && batch.len < BATCH_BYTES && h->next - h->accepted < RING; i++) {
		due_us = warp_time_us(f->warp, h->number, h->next, h->begin_us);
		if (due_us >= f->end_us)
			h->total = h->next;
		if (due_us > now_us || due_us >= f->end_us)
			break;
		f->phase.late_us =
			(uint64_t)(now_us - due_us) > f->phase.late_us ? (uint64_t)(now_us - due_us) : f->phase.late_us;
		put_snapshot(h, &batch);
	}
	return send_batch(h, &batch);
}

static bool send_backlog(struct host *h)
{
	struct fleet *f = h->fleet;
	struct buf batch = BUF_INIT(4u << 20);
	if (!h->caller.welcomed || h->next == h->total || f->ending || call_backlog(h->caller.call) >= WAITING_BYTES ||
	    h->hold_ns > clock_monotonic_ns())
		return false;
	for (unsigned i = 0; i < BATCH && batch.len < BATCH_BYTES && h->next < h->total; i++) {
		if (warp_time_us(f->warp, h->number, h->next, h->begin_us) >= f->end_us)
			h->total = h->next;
		else if (h->next < h->cap_done && h->done[h->next])
			h->next++;
		else
			put_snapshot(h, &batch);
	}
	return send_batch(h, &batch);
}

/* A few hosts, and the next few the next time. True when one of them had something. */
static bool send_some(struct fleet *f)
{
	int64_t now_us = fleet_now_us(f);
	uint64_t now_ns = clock_monotonic_ns();
	unsigned sent = 0;
	for (uint32_t i = 0; i < f->wish.hosts && sent < AT_A_TIME; i++) {
		struct host *h = &f->hosts[f->turn++ % f->wish.hosts];
		if (!h->connected && now_ns >= h->retry_ns)
			connect_host(h);
		if (!h->connected || !(f->backlog ? send_backlog(h) : send_live(h, now_us)))
			continue;
		caller_flush(&h->caller);
		if (h->caller.lost)
			disconnect(h);
		sent++;
	}
	return sent > 0;
}

static bool is_done(const struct fleet *f)
{
	for (uint32_t i = 0; i < f->wish.hosts; i++) {
		const struct host *h = &f->hosts[i];
		if (h->accepted < (f->ending ? h->next : h->total))
			return false;
	}
	return true;
}

/* --- the whole --- */

static void open_host(struct fleet *f, uint32_t i, uint32_t first)
{
	struct host *h = &f->hosts[i];
	/* Not all at the same moment. */
	int64_t shift_us = (int64_t)i * 1000000 * f->wish.every / f->wish.hosts;
	uint64_t id = (first + i + 1) * 0x9e3779b97f4a7c15ull;
	*h = (struct host){.fleet = f, .number = first + i, .total = UINT64_MAX};
	h->begin_us = f->clock_us + shift_us - (f->backlog ? f->wish.hours * WARP_HOUR_US : 0);
	h->caller = (struct caller){.epoll = f->epoll,
				    .port = f->port,
				    .key = f->key,
				    .name = f->backlog ? "late" : "live",
				    .takes_hold = f->backlog && f->takes_hold,
				    .on_field = on_field,
				    .arg = h};
	memcpy(h->caller.host_id, &id, sizeof(id));
	memcpy(h->caller.host_id + 8, &h->number, sizeof(h->number));
	h->sent_ns = f->backlog ? NULL : calloc(RING, sizeof(*h->sent_ns));
	caller_must(h->sent_ns || f->backlog ? 0 : -ENOMEM, "memory");
	connect_host(h);
	while (!h->caller.welcomed)
		read_replies(f, 100);
}

static void run(struct fleet *f, uint32_t first)
{
	struct epoll_event input = {.events = EPOLLIN, .data.ptr = NULL};
	for (uint32_t i = 0; i < f->wish.hosts; i++)
		open_host(f, i, first);
	printf("CONNECTED\n");
	caller_must(fflush(stdout) == 0 ? 0 : -EIO, "standard output");
	caller_must(epoll_ctl(f->epoll, EPOLL_CTL_ADD, STDIN_FILENO, &input) < 0 ? -errno : 0, "standard input");
	f->phase.begin_ns = clock_monotonic_ns();
	do {
		bool sent = send_some(f);
		read_replies(f, sent ? 0 : f->backlog ? 20 : 2);
	} while (!is_done(f));
	say(f);
}

static bool take(struct fleet *f, const char *name, const char *value, const char **key_file, uint32_t *first)
{
	if (strcmp(name, "--port") == 0)
		f->port = (uint16_t)strtoul(value, NULL, 10);
	else if (strcmp(name, "--key-file") == 0)
		*key_file = value;
	else if (strcmp(name, "--begin") == 0)
		f->clock_us = (int64_t)(strtod(value, NULL) * 1e6);
	else if (strcmp(name, "--zero") == 0)
		f->zero_ns = strtoull(value, NULL, 10);
	else if (strcmp(name, "--rate") == 0)
		f->rate = strtod(value, NULL);
	else if (strcmp(name, "--first") == 0)
		*first = (uint32_t)strtoul(value, NULL, 10);
	else if (strcmp(name, "--backlog") == 0)
		f->backlog = strcmp(value, "0") != 0;
	else if (strcmp(name, "--hold") == 0)
		f->takes_hold = strcmp(value, "0") != 0;
	else
		return wish_take(&f->wish, name, value);
	return true;
}

int main(int argc, char **argv)
{
	struct fleet f = {.wish = WISH_INIT, .rate = 1, .takes_hold = true, .zero_ns = clock_monotonic_ns()};
	const char *key_file = NULL;
	uint32_t first = 0;
	for (int i = 2; i < argc; i += 2) {
		if (i + 1 == argc || !take(&f, argv[i], argv[i + 1], &key_file, &first))
			return 2;
	}
	if (argc < 2 || !key_file || f.port == 0 || f.clock_us == 0 || f.wish.hosts == 0 || f.wish.hours == 0)
		return 2;
	caller_more_files();
	caller_take_key(key_file, f.key);
	f.epoll = epoll_create1(EPOLL_CLOEXEC);
	caller_must(f.epoll < 0 ? -errno : 0, "epoll");
	f.warp = warp_open(argv[1], f.wish.sections, f.wish.every, f.wish.scale);
	f.hosts = calloc(f.wish.hosts, sizeof(*f.hosts));
	caller_must(f.hosts ? 0 : -ENOMEM, "memory");
	f.end_us = f.clock_us + (f.backlog ? 0 : f.wish.hours * WARP_HOUR_US);
	run(&f, first);
	return 0;
}
