#include "tests/unit/backend/columns/told.h"

#include "common/wire.h"
#include "tests/unit/backend/columns/fixture.h"
#include "tests/unit/cmocka_all.h"

#include <stdio.h>
#include <string.h>

static void ok(int r)
{
	assert_int_equal(r, 0);
}

static uint64_t chance(struct told *t, uint64_t n)
{
	return fixture_random(&t->seed) % n;
}

static void put_text(struct buf *out, uint32_t number, const char *text)
{
	ok(wire_put_bytes(out, number, text, strlen(text)));
}

static void put_message(struct buf *out, uint32_t number, struct buf *message)
{
	ok(wire_put_bytes(out, number, message->data, message->len));
	buf_free(message);
	*message = BUF_INIT(1 << 20);
}

static uint64_t counter(struct told *t, size_t i)
{
	t->counters[i] += chance(t, 3) ? 0 : chance(t, 100000);
	return t->counters[i];
}

static void put_state(const struct told *t, struct buf *out, uint64_t code, const char *reason, const char *detail)
{
	struct buf state = BUF_INIT(1 << 20);
	ok(wire_put_uint(&state, 1, code));
	if (reason)
		put_text(&state, 2, reason);
	if (detail)
		put_text(&state, 3, detail);
	if (code != 2)
		ok(wire_put_uint(&state, 4, t->tick.boottime_us));
	put_message(out, 1, &state);
}

/* Rows of nothing but a label and numbers; one CPU has no numbers at some ticks. */
static void put_cpu(struct told *t, struct buf *payload)
{
	struct buf cpu = BUF_INIT(1 << 20), core = BUF_INIT(1 << 20);
	put_state(t, &cpu, 1, NULL, NULL);
	for (uint32_t i = 0; i < 3; i++) {
		ok(wire_put_uint(&core, 1, i));
		if (i < 2 || chance(t, 4) > 0)
			ok(wire_put_uint(&core, 2, counter(t, i)));
		put_message(&cpu, 3, &core);
	}
	put_message(payload, 11, &cpu);
}

static void put_tcp(struct told *t, struct buf *payload)
{
	struct buf tcp = BUF_INIT(1 << 20), family = BUF_INIT(1 << 20), histogram = BUF_INIT(1 << 20);
	const uint8_t indexes[] = {1, 9}, counts[] = {1 + (uint8_t)chance(t, 100), 3};
	bool due = t->tick.sequence % TOLD_DUE_EVERY == 1;
	put_state(t, &tcp, due ? 1 : 2, NULL, NULL);
	if (due) {
		put_text(&family, 1, "ipv4");
		ok(wire_put_uint(&family, 2, counter(t, 6)));
		ok(wire_put_uint(&histogram, 1, 1));
		ok(wire_put_uint(&histogram, 2, counter(t, 7)));
		ok(wire_put_bytes(&histogram, 3, indexes, sizeof(indexes)));
		ok(wire_put_bytes(&histogram, 4, counts, sizeof(counts)));
		put_message(&family, 5, &histogram);
		put_message(&tcp, 3, &family);
	}
	put_message(payload, 21, &tcp);
}

/* A cgroup that is shown with and without values, and goes. */
static void put_cgroups(struct told *t, struct buf *payload)
{
	static const char *const paths[] = {"/", "/a \xc3\xa9", "/b"};
	struct buf cgroups = BUF_INIT(1 << 20), row = BUF_INIT(1 << 20), io = BUF_INIT(1 << 20);
	if (chance(t, 10) == 0)
		put_state(t, &cgroups, 7, "too_many", "cgroups are left out: raise the limit");
	else
		put_state(t, &cgroups, 1, NULL, NULL);
	for (uint32_t i = 0; i < 3; i++) {
		if (i > 0 && chance(t, 3) == 0)
			continue;
		put_text(&row, 1, paths[i]);
		ok(wire_put_uint(&row, 2, 1 + i));
		if (chance(t, 8) > 0)
			put_text(&row, 3, i == 2 ? "unit b" : "unit");
		if (chance(t, 2))
			ok(wire_put_uint(&row, 8, counter(t, 10 + i)));
		if (chance(t, 5) == 0) {
			put_text(&io, 1, "sda");
			ok(wire_put_uint(&io, 2, counter(t, 20 + i)));
			put_message(&row, 43, &io);
		}
		put_message(&cgroups, 2, &row);
	}
	put_text(&cgroups, 3, "v2");
	put_message(payload, 22, &cgroups);
}

static void put_process(struct told *t, uint32_t i, struct buf *processes)
{
	struct buf row = BUF_INIT(1 << 20);
	char text[64];
	uint64_t life = t->tick.sequence / 40 + (i % 3 == 0); /* some numbers are given again */
	ok(wire_put_uint(&row, 1, 100 + i));
	ok(wire_put_uint(&row, 2, i % 4 ? i : life * 10000));
	ok(wire_put_uint(&row, 3, 1 + i % 2));
	snprintf(text, sizeof(text), "task-%u", i % 7);
	put_text(&row, 4, text);
	if (i % 5 && t->tick.sequence % 40 > 3) { /* read some ticks after the process is first shown */
		snprintf(text, sizeof(text), "/usr/bin/task-%u --verbose", i);
		put_text(&row, 5, text);
	}
	put_text(&row, 6, i % 2 ? "root" : "daemon");
	ok(wire_put_uint(&row, 7, i % 2 ? 0 : 1));
	if (chance(t, 4) == 0)
		t->states[i] = 1 + (uint32_t)chance(t, 3);
	ok(wire_put_uint(&row, 10, t->states[i] ? t->states[i] : 2));
	if (i != 5 || chance(t, 2)) { /* one that sometimes has nothing but a name */
		ok(wire_put_uint(&row, 11, counter(t, 24 + i % 8)));
		ok(wire_put_uint(&row, 14, 4096 * chance(t, 1000)));
	}
	if (i % 6 == 0)
		ok(wire_put_uint(&row, 15, 1));
	put_message(processes, 2, &row);
}

static void put_processes(struct told *t, struct buf *payload)
{
	struct buf processes = BUF_INIT(1 << 20), exited = BUF_INIT(1 << 20);
	bool keyframe = t->tick.sequence % TOLD_KEYFRAME_EVERY == 1;
	put_state(t, &processes, 1, NULL, NULL);
	for (uint32_t i = 0; i < TOLD_PROCESSES; i++) {
		if (keyframe || chance(t, 4) == 0)
			put_process(t, i, &processes);
	}
	put_text(&exited, 1, "sh");
	put_text(&exited, 2, "/b");
	ok(wire_put_uint(&exited, 3, 3));
	ok(wire_put_uint(&exited, 4, counter(t, 40)));
	put_message(&processes, 3, &exited);
	put_text(&processes, 4, "proc");
	if (keyframe)
		ok(wire_put_uint(&processes, 5, 1));
	ok(wire_put_uint(&processes, 9, 100 + chance(t, 5)));
	put_message(payload, 23, &processes);
}

static void put_custom(struct told *t, struct buf *payload)
{
	struct buf metrics BUF_CLEANUP = BUF_INIT(1 << 20);
	fixture_custom_uint(&metrics, "jobs", counter(t, 50));
	fixture_custom_int(&metrics, "balance", (int64_t)counter(t, 51) - 50000);
	fixture_custom_double(&metrics, "temperature of \xc3\xa9tage", fixture_random(&t->seed));
	fixture_custom_section(&metrics, payload);
}

static void put_events(struct told *t, struct buf *payload)
{
	struct buf events = BUF_INIT(1 << 20), one = BUF_INIT(1 << 20), count = BUF_INIT(1 << 20);
	put_state(t, &events, 1, NULL, NULL);
	for (uint64_t n = chance(t, 5) == 0 ? 1 + chance(t, 2) : 0; n > 0; n--) {
		ok(wire_put_uint(&one, 1, 4 + n));
		ok(wire_put_uint(&one, 2, 3));
		ok(wire_put_uint(&one, 4, t->tick.boottime_us - n));
		put_text(&one, 5, "sda");
		put_text(&one, 6, "I/O error, dev sda, sector 12345");
		put_message(&events, 2, &one);
	}
	ok(wire_put_uint(&count, 1, 5));
	ok(wire_put_uint(&count, 2, counter(t, 60)));
	put_message(&events, 3, &count);
	put_message(payload, 27, &events);
}

static void put_header(const struct told *t, struct buf *payload)
{
	struct buf time = BUF_INIT(64);
	ok(wire_put_bytes(payload, 1, t->tick.boot_id, 16));
	ok(wire_put_bytes(payload, 2, t->tick.instance, 16));
	ok(wire_put_uint(payload, 3, t->tick.sequence));
	ok(wire_put_uint(&time, 1, (uint64_t)(t->tick.time_us / 1000000)));
	if (t->tick.time_us % 1000000 > 0)
		ok(wire_put_uint(&time, 2, (uint64_t)(t->tick.time_us % 1000000) * 1000));
	put_message(payload, 4, &time);
	ok(wire_put_uint(payload, 5, t->tick.boottime_us));
	ok(wire_put_uint(payload, 6, t->tick.interval_ms));
	buf_free(&time);
}

void told_init(struct told *t, uint64_t seed)
{
	*t = (struct told){.seed = seed};
	t->tick.time_us = 1795258800000000;
	t->tick.boottime_us = 1000000000;
	t->tick.interval_ms = 1000;
	memset(t->tick.boot_id, 7, 16);
	told_restart(t);
}

void told_restart(struct told *t)
{
	uint64_t a = fixture_random(&t->seed);
	memcpy(t->tick.instance, &a, 8);
	t->tick.sequence = 0;
}

void told_next(struct told *t, struct buf *payload)
{
	struct buf perf = BUF_INIT(1 << 20);
	uint64_t step = 1000000 + chance(t, 200);
	t->tick.sequence++;
	t->tick.boottime_us += step;
	t->tick.time_us += (int64_t)step;
	t->tick.received_us = t->tick.time_us + 20000;
	buf_reset(payload);
	put_header(t, payload);
	put_cpu(t, payload);
	put_state(t, &perf, 3, "no_pmu", "the processor has no counters: nothing to do on this machine");
	put_message(payload, 18, &perf);
	put_tcp(t, payload);
	put_cgroups(t, payload);
	put_processes(t, payload);
	put_custom(t, payload);
	put_events(t, payload);
	buf_free(&perf);
}
