/* Pages made of two snapshots built by hand. */
#include "agent/collector.h"
#include "agent/top/view.h"
#include "common/wire.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PROCESSES 8

struct host {
	Sonde__V1__Snapshot snapshot;
	Sonde__V1__Summary summary;
	Sonde__V1__Cpu cpu;
	Sonde__V1__CpuTimes cores[2], *core_pointers[2];
	Sonde__V1__Disks disks;
	Sonde__V1__Disk disk[2], *disk_pointers[2];
	Sonde__V1__DiskRates rates;
	Sonde__V1__Memory memory;
	Sonde__V1__State memory_state, processes_state;
	Sonde__V1__Processes processes;
	Sonde__V1__Process process[MAX_PROCESSES], *process_pointers[MAX_PROCESSES];
};

static void make(struct host *h, uint64_t at_us)
{
	memset(h, 0, sizeof(*h));
	sonde__v1__snapshot__init(&h->snapshot);
	sonde__v1__summary__init(&h->summary);
	sonde__v1__cpu__init(&h->cpu);
	sonde__v1__disks__init(&h->disks);
	sonde__v1__disk_rates__init(&h->rates);
	sonde__v1__memory__init(&h->memory);
	sonde__v1__state__init(&h->memory_state);
	sonde__v1__state__init(&h->processes_state);
	sonde__v1__processes__init(&h->processes);
	h->snapshot.summary = &h->summary;
	h->snapshot.cpu = &h->cpu;
	h->snapshot.disks = &h->disks;
	h->snapshot.memory = &h->memory;
	h->memory.state = &h->memory_state;
	h->snapshot.processes = &h->processes;
	h->processes.state = &h->processes_state;
	SET(&h->processes_state, collected_at_us, at_us);
	for (size_t i = 0; i < 2; i++) {
		sonde__v1__cpu_times__init(&h->cores[i]);
		sonde__v1__disk__init(&h->disk[i]);
		SET(&h->cores[i], cpu, (uint32_t)i);
		h->core_pointers[i] = &h->cores[i];
		h->disk_pointers[i] = &h->disk[i];
	}
	h->disk[0].device = (char *)"sda";
	h->disk[1].device = (char *)"sdb";
	h->cpu.cores = h->core_pointers;
	h->disks.devices = h->disk_pointers;
	h->processes.processes = h->process_pointers;
}

static Sonde__V1__Process *add(struct host *h, uint32_t pid, const char *comm, uint64_t cpu_us, uint64_t rss)
{
	Sonde__V1__Process *p = &h->process[h->processes.n_processes];
	h->process_pointers[h->processes.n_processes++] = p;
	sonde__v1__process__init(p);
	SET(p, pid, pid);
	SET(p, start_time_us, pid * 10000ull);
	SET(p, cpu_us, cpu_us);
	SET(p, resident_bytes, rss);
	p->comm = (char *)comm;
	return p;
}

static char *page(const struct view *view, const struct host *before, const struct host *now)
{
	static char text[16384];
	BUF_CLEANUP struct buf out = BUF_INIT(sizeof(text) - 1);
	assert_int_equal(view_write(view, before ? &before->snapshot : NULL, &now->snapshot, &out), 0);
	memcpy(text, out.data, out.len);
	text[out.len] = '\0';
	return text;
}

static size_t position(const char *text, const char *what)
{
	const char *p = strstr(text, what);
	if (!p)
		fail_msg("\"%s\" is not in\n%s", what, text);
	return (size_t)(p - text);
}

static const struct view wide = {.columns = 132, .hostname = "h"};

static void rates_of_processes(void **state)
{
	(void)state;
	struct host before, now;
	make(&before, 1000000);
	make(&now, 3000000);
	add(&before, 7, "idle", 50, 10 << 20);
	add(&before, 5, "busy", 1000000, 1 << 20);
	add(&before, 9, "gone", 0, 0);
	Sonde__V1__Process *io_before = add(&before, 6, "writer", 0, 2 << 20);
	Sonde__V1__Process *busy = add(&now, 5, "busy", 4000000, 1 << 20);
	add(&now, 7, "idle", 50, 10 << 20);
	Sonde__V1__Process *io = add(&now, 6, "writer", 0, 2 << 20);
	Sonde__V1__Process *reused = add(&now, 9, "reused", 1000000000, 3 << 20);
	reused->start_time_us++;
	busy->command_line = (char *)"/usr/bin/busy --loop";
	SET(io_before, read_bytes, 0);
	SET(io_before, write_bytes, 1024);
	SET(io, read_bytes, 0);
	SET(io, write_bytes, 1024 + 2 * (5 << 20));

	struct view view = wide;
	char *text = page(&view, &before, &now);
	assert_true(position(text, "150.0%") < position(text, "/usr/bin/busy --loop"));
	assert_true(position(text, "busy --loop") < position(text, "idle"));
	assert_true(position(text, " 5.0M") < position(text, "writer"));
	/* Another process under an old number has no rate. */
	assert_true(position(text, "reused") > position(text, "idle"));
	assert_null(strstr(text, "gone"));

	view.order = VIEW_BY_MEMORY;
	text = page(&view, &before, &now);
	assert_true(position(text, "idle") < position(text, "reused"));
	assert_true(position(text, "reused") < position(text, "writer"));
	view.order = VIEW_BY_IO;
	text = page(&view, &before, &now);
	assert_true(position(text, "writer") < position(text, "busy --loop"));
	/* The first page: everything is there, nothing is made up. */
	text = page(&view, NULL, &now);
	assert_null(strstr(text, "%  "));
	assert_non_null(strstr(text, "busy --loop"));
}

static void what_is_not_known_is_a_dash(void **state)
{
	(void)state;
	struct host now;
	make(&now, 0);
	now.cpu.n_cores = 2;
	char *text = page(&wide, NULL, &now);
	assert_non_null(strstr(text, "load -"));
	assert_non_null(strstr(text, "CPU  busy -  iowait -"));
	assert_non_null(strstr(text, "Cores   0     -   1     -"));
	Sonde__V1__Snapshot empty = SONDE__V1__SNAPSHOT__INIT;
	BUF_CLEANUP struct buf out = BUF_INIT(4096);
	assert_int_equal(view_write(&wide, NULL, &empty, &out), 0);
	assert_true(out.len > 0);
}

static void cores_and_disks(void **state)
{
	(void)state;
	struct host before, now;
	make(&before, 0);
	make(&now, 1000000);
	/* One core went away; the other is found by its number. */
	before.cpu.n_cores = 2;
	now.cpu.n_cores = 1;
	now.cores[0].cpu = 1;
	SET(&before.cores[1], idle_us, 1000);
	SET(&now.cores[0], idle_us, 1250);
	SET(&now.cores[0], user_us, 750);
	now.disks.n_devices = 2;
	SET(&now.rates, utilisation_ratio, 0.5);
	SET(&now.rates, write_await_us, 1250);
	now.disk[1].rates = &now.rates;
	char *text = page(&wide, &before, &now);
	assert_non_null(strstr(text, "Cores   1 75.0%\n"));
	assert_true(position(text, "sdb           50.0%         -      1.25       -") < position(text, "sda"));
}

static void troubles_are_said(void **state)
{
	(void)state;
	struct host now;
	make(&now, 0);
	SET(&now.memory_state, code, SONDE__V1__STATE__CODE__CODE_DENIED);
	now.memory_state.detail = (char *)"needs CAP_MAGIC";
	SET(&now.processes_state, code, SONDE__V1__STATE__CODE__CODE_UNAVAILABLE);
	char *text = page(&wide, NULL, &now);
	assert_non_null(strstr(text, "! memory: needs CAP_MAGIC\n"));
	assert_null(strstr(text, "! processes"));
}

static void pages_fit(void **state)
{
	(void)state;
	struct host now;
	make(&now, 0);
	now.disks.n_devices = 2;
	for (uint32_t i = 0; i < MAX_PROCESSES; i++)
		add(&now, i, "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4", 0, 0)->command_line =
			(char *)"\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3"
				"\xa4";
	for (size_t rows = 1; rows < 24; rows++) {
		const struct view view = {.columns = 62, .rows = rows, .hostname = "h", .note = "q: quit"};
		char *text = page(&view, NULL, &now);
		size_t lines = 0;
		for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"), lines++) {
			size_t columns = 0;
			for (char *p = line; *p; p++)
				columns += ((unsigned char)*p & 0xc0) != 0x80;
			assert_true(columns <= view.columns);
			assert_true(wire_utf8((const uint8_t *)line, strlen(line)));
		}
		assert_true(lines <= rows);
	}
	BUF_CLEANUP struct buf small = BUF_INIT(100);
	assert_int_equal(view_write(&wide, NULL, &now.snapshot, &small), -EMSGSIZE);
	assert_int_equal(small.len, 0);
}

static void byte_counts(void **state)
{
	(void)state;
	static const struct {
		double bytes;
		const char *text;
	} cases[] = {{0, "0"},
		     {-1, "0"},
		     {999, "999"},
		     {1000, "1.0K"},
		     {10239, "10K"},
		     {1023 * 1024.0, "1.0M"},
		     {1.5 * (1 << 30), "1.5G"},
		     {1e30, "9999E"}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[8];
		view_bytes(cases[i].bytes, text);
		assert_string_equal(text, cases[i].text);
		assert_true(strlen(text) <= 5);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rates_of_processes), cmocka_unit_test(what_is_not_known_is_a_dash),
		cmocka_unit_test(cores_and_disks),    cmocka_unit_test(troubles_are_said),
		cmocka_unit_test(pages_fit),	      cmocka_unit_test(byte_counts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
