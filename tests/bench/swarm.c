/* bench_swarm --port P --key-file FILE --agents N --batches N [--interval MS] [--seed N] [--ca-file FILE]: simulated
 * agents in one process, each a connection of its own with a real Ingest.Stream, for tests/bench/ingest. A snapshot has
 * 500 values (50 CPUs of 10 times), of which 200 change. Without an interval each agent sends its next snapshot when
 * the last one is acknowledged. With a seed the hosts are the same ones each time; with a CA the connections are TLS.
 * Prints one line of JSON when every agent has had all its acknowledgements. */
#include "common/buf.h"
#include "common/clock.h"
#include "common/encoding.h"
#include "common/tls/tls.h"
#include "common/wire.h"
#include "tests/bench/caller.h"

#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#define CORES 50
#define VALUES 10
#define CONTENTS 64 /* kinds of section, all agents share them */

struct swarm {
	unsigned port, agents, batches, interval_ms, seed;
	char key[CALLER_KEY_SIZE];
	struct tls_context *tls; /* NULL: plaintext */
	int epoll;
	struct buf sections[CONTENTS];
	uint64_t bytes;
	uint32_t *latencies_us;
	size_t n_latencies;
	unsigned welcomed, done;
};

struct agent {
	struct caller caller; /* the first: an event's */
	struct swarm *swarm;
	uint64_t sequence, sent_ns, due_ns;
	bool welcomed, waiting, ended;
};

static void make_section(struct buf *out, unsigned turn)
{
	struct buf cpu = BUF_INIT(1u << 20);
	for (unsigned core = 0; core < CORES; core++) {
		struct buf times = BUF_INIT(4096);
		caller_must(wire_put_uint(&times, 1, core), "a core");
		for (unsigned i = 0; i < VALUES; i++) {
			/* user, system, idle and softirq move; the others stand, as on most machines. */
			bool moves = i == 0 || i == 2 || i == 3 || i == 6;
			uint64_t v = 1000000007ull * (i + 1) + core * 7919ull + (moves ? turn * (9973ull + core) : 0);
			caller_must(wire_put_uint(&times, i + 2, v), "a value");
		}
		caller_must(wire_put_bytes(&cpu, 3, times.data, times.len), "a core");
		buf_free(&times);
	}
	caller_must(wire_put_bytes(out, 11, cpu.data, cpu.len), "a section");
	buf_free(&cpu);
}

static void send_snapshot(struct agent *a)
{
	struct buf snapshot = BUF_INIT(1u << 20), time = BUF_INIT(64), batch = BUF_INIT(1u << 20);
	uint64_t now_us = (uint64_t)clock_wall_us();
	const struct buf *section = &a->swarm->sections[++a->sequence % CONTENTS];
	caller_must(wire_put_uint(&time, 1, now_us / 1000000), "a time");
	caller_must(wire_put_uint(&time, 2, now_us % 1000000 * 1000), "a time");
	caller_must(wire_put_bytes(&snapshot, 1, a->caller.host_id, 16), "a snapshot");
	caller_must(wire_put_bytes(&snapshot, 2, a->caller.instance, 16), "a snapshot");
	caller_must(wire_put_uint(&snapshot, 3, a->sequence), "a snapshot");
	caller_must(wire_put_bytes(&snapshot, 4, time.data, time.len), "a snapshot");
	caller_must(wire_put_uint(&snapshot, 5, now_us), "a snapshot");
	caller_must(wire_put_uint(&snapshot, 6, 5000), "a snapshot");
	caller_must(buf_append(&snapshot, section->data, section->len), "a snapshot");
	caller_must(wire_put_bytes(&batch, 1, snapshot.data, snapshot.len), "a batch");
	a->swarm->bytes += snapshot.len;
	a->sent_ns = clock_monotonic_ns();
	a->due_ns += a->swarm->interval_ms * 1000000ull;
	a->waiting = true;
	caller_send_batch(&a->caller, batch.data, batch.len);
	buf_free(&batch);
	buf_free(&time);
	buf_free(&snapshot);
}

static bool has_range(const struct wire_field *acknowledgement)
{
	struct wire_reader reader = wire_reader(acknowledgement->data, acknowledgement->len);
	struct wire_field f;
	return wire_next(&reader, &f) == 1 && f.number == 1;
}

static void on_field(void *arg, uint32_t number, const uint8_t *data, size_t len)
{
	struct agent *a = arg;
	struct swarm *s = a->swarm;
	const struct wire_field f = {.data = data, .len = len};
	if (number != 2 || !a->waiting)
		return;
	if (!has_range(&f)) {
		(void)fprintf(stderr, "bench_swarm: a snapshot was refused\n");
		exit(1);
	}
	a->waiting = false;
	s->latencies_us[s->n_latencies++] = (uint32_t)((clock_monotonic_ns() - a->sent_ns) / 1000);
	if (a->sequence == s->batches) {
		a->ended = true;
		s->done++;
	}
}

static void turn(struct swarm *s, int timeout_ms)
{
	struct epoll_event events[256];
	int n = epoll_wait(s->epoll, events, 256, timeout_ms);
	for (int i = 0; i < n; i++) {
		struct agent *a = events[i].data.ptr;
		if (!caller_read(&a->caller))
			caller_complain(&a->caller);
		s->welcomed += a->caller.welcomed && !a->welcomed;
		a->welcomed = a->caller.welcomed;
		if (s->interval_ms == 0 && a->welcomed && !a->waiting && !a->ended && s->welcomed == s->agents)
			send_snapshot(a);
		caller_flush(&a->caller);
	}
}

static void name_agent(const struct swarm *s, struct agent *a, unsigned number)
{
	encoding_random(a->caller.host_id, sizeof(a->caller.host_id));
	encoding_random(a->caller.instance, sizeof(a->caller.instance));
	if (s->seed == 0)
		return;
	memset(a->caller.host_id, 0, sizeof(a->caller.host_id));
	memcpy(a->caller.host_id, &s->seed, sizeof(s->seed));
	memcpy(a->caller.host_id + 8, &number, sizeof(number));
}

static void open_agent(struct swarm *s, struct agent *a, unsigned number)
{
	a->swarm = s;
	a->caller.epoll = s->epoll;
	a->caller.port = (uint16_t)s->port;
	a->caller.key = s->key;
	a->caller.tls = s->tls;
	a->caller.name = "swarm";
	a->caller.on_field = on_field;
	a->caller.arg = a;
	name_agent(s, a, number);
	caller_open(&a->caller);
}

/* In due time; the agents' moments are spread over the interval. */
static void pace(struct swarm *s, struct agent *agents)
{
	uint64_t now = clock_monotonic_ns();
	for (unsigned i = 0; i < s->agents; i++) {
		struct agent *a = &agents[i];
		if (a->waiting || a->ended || now < a->due_ns)
			continue;
		send_snapshot(a);
		caller_flush(&a->caller);
	}
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

/* Between Welcome and the first snapshot the script looks at the backend: it answers with a line. */
static void await_word(const char *word)
{
	char line[16];
	printf("%s\n", word);
	if (fflush(stdout) != 0 || !fgets(line, sizeof(line), stdin))
		exit(1);
}

static void run(struct swarm *s, struct agent *agents)
{
	for (unsigned i = 0; i < s->agents; i++) {
		open_agent(s, &agents[i], i);
		while (s->welcomed + 200 <= i)
			turn(s, 100);
	}
	while (s->welcomed < s->agents)
		turn(s, 100);
	await_word("CONNECTED");
	uint64_t begin = clock_monotonic_ns();
	for (unsigned i = 0; i < s->agents; i++)
		agents[i].due_ns = begin + s->interval_ms * 1000000ull * i / s->agents;
	do {
		pace(s, agents);
		turn(s, s->interval_ms ? 2 : 100);
	} while (s->done < s->agents);
	double seconds = (double)(clock_monotonic_ns() - begin) / 1e9;
	size_t n = s->n_latencies;
	qsort(s->latencies_us, n, sizeof(*s->latencies_us), by_value);
	printf("{\"snapshots\":%zu,\"samples\":%zu,\"bytes\":%llu,\"seconds\":%.3f,\"p50_ms\":%.2f,\"p99_ms\":%.2f}\n",
	       n, n * CORES * VALUES, (unsigned long long)s->bytes, seconds, s->latencies_us[n / 2] / 1e3,
	       s->latencies_us[n * 99 / 100] / 1e3);
}

static void take_ca(struct swarm *s, const char *path)
{
	char error[TLS_ERROR_SIZE];
	const struct tls_client_options options = {.ca_file = path};
	if (tls_context_client(&options, &s->tls, error) < 0) {
		(void)fprintf(stderr, "bench_swarm: %s\n", error);
		exit(1);
	}
}

static unsigned number(const char *text)
{
	return (unsigned)strtoul(text, NULL, 10);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"port", 1, NULL, 'p'},	    {"key-file", 1, NULL, 'k'},
						{"agents", 1, NULL, 'a'},   {"batches", 1, NULL, 'b'},
						{"interval", 1, NULL, 'i'}, {"seed", 1, NULL, 's'},
						{"ca-file", 1, NULL, 'c'},  {0}};
	struct swarm s = {.agents = 100, .batches = 100};
	int c;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'p':
			s.port = number(optarg);
			break;
		case 'k':
			caller_take_key(optarg, s.key);
			break;
		case 'a':
			s.agents = number(optarg);
			break;
		case 'b':
			s.batches = number(optarg);
			break;
		case 'i':
			s.interval_ms = number(optarg);
			break;
		case 's':
			s.seed = number(optarg);
			break;
		case 'c':
			take_ca(&s, optarg);
			break;
		default:
			return 2;
		}
	}
	caller_more_files();
	struct agent *agents = calloc(s.agents ? s.agents : 1, sizeof(*agents));
	s.latencies_us = calloc((size_t)s.agents * s.batches + 1, sizeof(*s.latencies_us));
	s.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (!agents || !s.latencies_us || s.agents == 0 || s.batches == 0)
		return 2;
	for (unsigned i = 0; i < CONTENTS; i++) {
		s.sections[i] = BUF_INIT(1u << 20);
		make_section(&s.sections[i], i);
	}
	run(&s, agents);
	return 0;
}
