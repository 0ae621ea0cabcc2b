/* Most files are a number, or lines of "key number": one table of fields a file. Limits that are none ("max", -1, the
 * largest page-aligned number) leave their field absent. */
#include "agent/cgroups/files.h"

#include "agent/cgroups/devices.h"
#include "agent/collector.h"
#include "agent/collectors/psi.h"
#include "agent/collectors/scale.h"
#include "agent/scan.h"

#include <errno.h>
#include <string.h>

#define NO_LIMIT_V1 0x7ffffffffffff000ull /* PAGE_COUNTER_MAX in bytes; larger pages make it smaller by some */
#define NO_LIMIT_SLACK 0x10000ull

struct key {
	const char *name;
	size_t has, value;
	uint64_t multiply, divide; /* to base units; 0 is 1 */
};

#define KEY(name, field)                                                                                               \
	{                                                                                                              \
		name, offsetof(Sonde__V1__Cgroup, has_##field), offsetof(Sonde__V1__Cgroup, field), 1, 1               \
	}
#define KEY_NS(name, field)                                                                                            \
	{                                                                                                              \
		name, offsetof(Sonde__V1__Cgroup, has_##field), offsetof(Sonde__V1__Cgroup, field), 1, 1000            \
	}
static void set(Sonde__V1__Cgroup *out, const struct key *key, uint64_t value)
{
	protobuf_c_boolean yes = 1;
	value = scale_ratio(value, key->multiply, key->divide);
	memcpy((char *)out + key->has, &yes, sizeof(yes));
	memcpy((char *)out + key->value, &value, sizeof(value));
}

static const struct key *find(const struct key *keys, size_t n, struct word word, size_t *next)
{
	for (size_t i = 0; i < n; i++) {
		size_t at = *next + i < n ? *next + i : *next + i - n;
		if (word_is(word, keys[at].name)) {
			*next = at + 1 < n ? at + 1 : 0;
			return &keys[at];
		}
	}
	return NULL;
}

/* usage_usec 12345. Tables have the order of the files of one kernel: the search goes on where it found something. */
static int parse_keys(const char *text, size_t len, const struct key *keys, size_t n, Sonde__V1__Cgroup *out)
{
	struct scan rest = scan_text(text, len), line;
	size_t next = 0;
	int r;
	while ((r = scan_line(&rest, &line)) > 0) {
		struct word word;
		uint64_t value;
		if (scan_word(&line, &word) < 0)
			return -EPROTO;
		const struct key *key = find(keys, n, word, &next);
		if (!key)
			continue;
		if (scan_u64(&line, &value) < 0 || !scan_at_end(&line))
			return -EPROTO;
		set(out, key, value);
	}
	return r;
}

/* 4096, or "max" for no limit */
static int parse_number(const char *text, size_t len, const struct key *key, Sonde__V1__Cgroup *out)
{
	struct scan rest = scan_text(text, len), line;
	struct word word;
	uint64_t value;
	if (scan_line(&rest, &line) <= 0 || scan_word(&line, &word) < 0 || !scan_at_end(&line))
		return -EPROTO;
	if (word_is(word, "max") || word_is(word, "-1"))
		return 0;
	if (word_u64(word, &value) < 0)
		return -EPROTO;
	if (value < NO_LIMIT_V1 - NO_LIMIT_SLACK)
		set(out, key, value);
	return 0;
}

#define NUMBER(function, name, field)                                                                                  \
	static int function(const char *text, size_t len, struct cgroup_parsing *parsing, Sonde__V1__Cgroup *out)      \
	{                                                                                                              \
		static const struct key key = KEY(name, field);                                                        \
		(void)parsing;                                                                                         \
		return parse_number(text, len, &key, out);                                                             \
	}
#define KEYS(function, ...)                                                                                            \
	static int function(const char *text, size_t len, struct cgroup_parsing *parsing, Sonde__V1__Cgroup *out)      \
	{                                                                                                              \
		static const struct key keys[] = {__VA_ARGS__};                                                        \
		(void)parsing;                                                                                         \
		return parse_keys(text, len, keys, sizeof(keys) / sizeof(keys[0]), out);                               \
	}

KEYS(parse_cpu_stat, KEY("usage_usec", cpu_us), KEY("user_usec", user_us), KEY("system_usec", system_us),
     KEY("nr_periods", cpu_periods), KEY("nr_throttled", cpu_throttled_periods),
     KEY("throttled_usec", cpu_throttled_us))
KEYS(parse_cpu_stat_v1, KEY("nr_periods", cpu_periods), KEY("nr_throttled", cpu_throttled_periods),
     KEY_NS("throttled_time", cpu_throttled_us))
KEYS(parse_memory_stat, KEY("anon", anonymous_bytes), KEY("file", file_bytes), KEY("kernel", kernel_bytes),
     KEY("sock", socket_bytes), KEY("shmem", shared_bytes), KEY("file_dirty", file_dirty_bytes),
     KEY("inactive_file", inactive_file_bytes), KEY("slab", slab_bytes),
     KEY("workingset_refault_anon", refaults_anonymous), KEY("workingset_refault_file", refaults_file),
     KEY("pgfault", page_faults), KEY("pgmajfault", major_page_faults))
/* Without swap accounting the kernel leaves total_swap out. memsw less usage would be two counters of two moments,
 * which differ by pages in flight on hosts without swap too. */
KEYS(parse_memory_stat_v1, KEY("total_cache", file_bytes), KEY("total_rss", anonymous_bytes),
     KEY("total_shmem", shared_bytes), KEY("total_dirty", file_dirty_bytes),
     KEY("total_workingset_refault_anon", refaults_anonymous), KEY("total_workingset_refault_file", refaults_file),
     KEY("total_swap", swap_bytes), KEY("total_pgfault", page_faults), KEY("total_pgmajfault", major_page_faults),
     KEY("total_inactive_file", inactive_file_bytes))
KEYS(parse_memory_events, KEY("low", memory_low_events), KEY("high", memory_high_events),
     KEY("max", memory_limit_events), KEY("oom", oom_events), KEY("oom_kill", oom_kills))
KEYS(parse_oom_control, KEY("oom_kill", oom_kills))
NUMBER(parse_memory, "", memory_bytes)
NUMBER(parse_memory_peak, "", memory_peak_bytes)
NUMBER(parse_memory_limit, "", memory_limit_bytes)
NUMBER(parse_memory_high, "", memory_high_bytes)
NUMBER(parse_swap, "", swap_bytes)
NUMBER(parse_kernel, "", kernel_bytes)
NUMBER(parse_failures, "", memory_limit_events)
NUMBER(parse_tasks, "", tasks)
NUMBER(parse_tasks_limit, "", tasks_limit)

/* cpuacct.usage is nanoseconds. */
static int parse_usage_v1(const char *text, size_t len, struct cgroup_parsing *parsing, Sonde__V1__Cgroup *out)
{
	static const struct key key = KEY_NS("", cpu_us);
	(void)parsing;
	return parse_number(text, len, &key, out);
}

/* user 123 in ticks of USER_HZ */
static int parse_usage_split_v1(const char *text, size_t len, struct cgroup_parsing *parsing, Sonde__V1__Cgroup *out)
{
	struct key keys[] = {KEY("user", user_us), KEY("system", system_us)};
	for (size_t i = 0; i < 2; i++) {
		keys[i].multiply = 1000000;
		keys[i].divide = parsing->user_hz;
	}
	return parse_keys(text, len, keys, sizeof(keys) / sizeof(keys[0]), out);
}

static void set_cpu_limit(double quota_us, double period_us, Sonde__V1__Cgroup *out)
{
	if (period_us > 0)
		SET(out, cpu_limit_ratio, quota_us / period_us);
}

/* 50000 100000, or "max 100000" */
static int parse_cpu_max(const char *text, size_t len, struct cgroup_parsing *parsing, Sonde__V1__Cgroup *out)
{
	struct scan rest = scan_text(text, len), line;
	struct word quota;
	uint64_t quota_us, period_us;
	(void)parsing;
	if (scan_line(&rest, &line) <= 0 || scan_word(&line, &quota) < 0 || scan_u64(&line, &period_us) < 0)
		return -EPROTO;
	if (word_is(quota, "max"))
		return 0;
	if (word_u64(quota, &quota_us) < 0)
		return -EPROTO;
	set_cpu_limit((double)quota_us, (double)period_us, out);
	return 0;
}

/* -1 without a limit. The period comes first in the table and waits in the field. */
static int parse_period_v1(const char *text, size_t len, struct cgroup_parsing *parsing, Sonde__V1__Cgroup *out)
{
	struct scan rest = scan_text(text, len), line;
	uint64_t period_us;
	(void)parsing;
	if (scan_line(&rest, &line) <= 0 || scan_u64(&line, &period_us) < 0)
		return -EPROTO;
	out->cpu_limit_ratio = (double)period_us;
	return 0;
}

static int parse_quota_v1(const char *text, size_t len, struct cgroup_parsing *parsing, Sonde__V1__Cgroup *out)
{
	struct scan rest = scan_text(text, len), line;
	struct word word;
	uint64_t quota_us;
	(void)parsing;
	if (scan_line(&rest, &line) <= 0 || scan_word(&line, &word) < 0)
		return -EPROTO;
	if (word_is(word, "-1"))
		return 0;
	if (word_u64(word, &quota_us) < 0)
		return -EPROTO;
	set_cpu_limit((double)quota_us, out->cpu_limit_ratio, out);
	return 0;
}

/* --- pressure ---------------------------------------------------------------------------------------------------- */

static int parse_pressure(const char *text, size_t len, struct cgroup_parsing *parsing, Sonde__V1__PressureStall **ret)
{
	struct psi psi;
	int r = psi_parse(text, len, &psi);
	if (r < 0)
		return r;
	*ret = psi_message(&psi, parsing->arena);
	return *ret ? 0 : -ENOMEM;
}

#define PRESSURE(function, field)                                                                                      \
	static int function(const char *text, size_t len, struct cgroup_parsing *parsing, Sonde__V1__Cgroup *out)      \
	{                                                                                                              \
		return parse_pressure(text, len, parsing, &out->field);                                                \
	}

PRESSURE(parse_cpu_pressure, cpu_pressure)
PRESSURE(parse_memory_pressure, memory_pressure)
PRESSURE(parse_io_pressure, io_pressure)
PRESSURE(parse_irq_pressure, irq_pressure)

/* --- block I/O --------------------------------------------------------------------------------------------------- */

/* "8:16". 0 or -EPROTO. */
static int read_device(struct word word, uint32_t *ret_major, uint32_t *ret_minor)
{
	const char *colon = memchr(word.text, ':', word.len);
	uint64_t major, minor;
	if (!colon)
		return -EPROTO;
	size_t before = (size_t)(colon - word.text);
	if (word_u64((struct word){word.text, before}, &major) < 0 ||
	    word_u64((struct word){colon + 1, word.len - before - 1}, &minor) < 0 || major > UINT32_MAX ||
	    minor > UINT32_MAX)
		return -EPROTO;
	*ret_major = (uint32_t)major;
	*ret_minor = (uint32_t)minor;
	return 0;
}

/* The row of a device, made when it is not there and wanted. 0 and NULL when there is none, or no room for it. */
static int io_row(struct cgroup_parsing *parsing, struct word number, bool wanted, Sonde__V1__Cgroup *out,
		  Sonde__V1__CgroupIo **ret)
{
	uint32_t major, minor;
	int r = read_device(number, &major, &minor);
	if (r < 0)
		return r;
	const char *name = cgroup_devices_name(parsing->devices, major, minor, parsing->arena);
	if (!name)
		return -ENOMEM;
	for (size_t i = 0; i < out->n_io; i++) {
		*ret = out->io[i];
		if (strcmp((*ret)->device, name) == 0)
			return 0;
	}
	*ret = NULL;
	if (!wanted)
		return 0;
	if (out->n_io == CGROUP_IO_MAX) {
		parsing->io_left_out++;
		return 0;
	}
	if (!out->io)
		out->io = arena_alloc(parsing->arena, CGROUP_IO_MAX * sizeof(Sonde__V1__CgroupIo *));
	Sonde__V1__CgroupIo *row = arena_message(parsing->arena, &sonde__v1__cgroup_io__descriptor);
	if (!out->io || !row)
		return -ENOMEM;
	row->device = (char *)name; /* packed, never written to */
	out->io[out->n_io++] = row;
	*ret = row;
	return 0;
}

static void set_io(Sonde__V1__CgroupIo *row, struct word key, uint64_t value)
{
	if (word_is(key, "rbytes"))
		SET(row, read_bytes, value);
	else if (word_is(key, "wbytes"))
		SET(row, write_bytes, value);
	else if (word_is(key, "rios"))
		SET(row, reads, value);
	else if (word_is(key, "wios"))
		SET(row, writes, value);
	else if (word_is(key, "dbytes"))
		SET(row, discard_bytes, value);
	else if (word_is(key, "dios"))
		SET(row, discards, value);
}

/* 8:16 rbytes=1459200 wbytes=314773504 rios=192 wios=353 dbytes=0 dios=0; a device may stand there without numbers */
static int parse_io_stat(const char *text, size_t len, struct cgroup_parsing *parsing, Sonde__V1__Cgroup *out)
{
	struct scan rest = scan_text(text, len), line;
	int r;
	while ((r = scan_line(&rest, &line)) > 0) {
		struct word number, word;
		Sonde__V1__CgroupIo *row = NULL;
		if (scan_word(&line, &number) < 0)
			return -EPROTO;
		while (!scan_at_end(&line)) {
			if (scan_word(&line, &word) < 0)
				return -EPROTO;
			const char *equals = memchr(word.text, '=', word.len);
			if (!equals)
				continue; /* "cost.usage" of iocost and its like may come in other forms */
			size_t before = (size_t)(equals - word.text);
			uint64_t value;
			if (word_u64((struct word){equals + 1, word.len - before - 1}, &value) < 0)
				continue;
			if (!row) {
				r = io_row(parsing, number, true, out, &row);
				if (r < 0)
					return r;
				if (!row)
					break;
			}
			set_io(row, (struct word){word.text, before}, value);
		}
	}
	return r;
}

/* 8:16 Read 4096, and at the end "Total 4096" */
static int parse_blkio(const char *text, size_t len, struct cgroup_parsing *parsing, bool bytes, Sonde__V1__Cgroup *out)
{
	struct scan rest = scan_text(text, len), line;
	int r;
	while ((r = scan_line(&rest, &line)) > 0) {
		struct word number, what;
		uint64_t value;
		Sonde__V1__CgroupIo *row;
		if (scan_word(&line, &number) < 0)
			return -EPROTO;
		if (word_is(number, "Total"))
			continue;
		if (scan_word(&line, &what) < 0 || scan_u64(&line, &value) < 0)
			return -EPROTO;
		const char *key = word_is(what, "Read")	     ? (bytes ? "rbytes" : "rios")
				  : word_is(what, "Write")   ? (bytes ? "wbytes" : "wios")
				  : word_is(what, "Discard") ? (bytes ? "dbytes" : "dios")
							     : NULL;
		if (!key)
			continue;
		r = io_row(parsing, number, bytes, out, &row);
		if (r < 0)
			return r;
		if (row)
			set_io(row, (struct word){key, strlen(key)}, value);
	}
	return r;
}

/* Of a device without a throttling rule Linux 6.1 writes zeroes here, whatever was read or written, and 6.18 nothing:
 * one without a byte is one of which nothing is known. */
static void drop_silent(Sonde__V1__Cgroup *out)
{
	size_t n = 0;
	for (size_t i = 0; i < out->n_io; i++) {
		Sonde__V1__CgroupIo *row = out->io[i];
		if (row->read_bytes > 0 || row->write_bytes > 0 || row->discard_bytes > 0)
			out->io[n++] = row;
	}
	out->n_io = n;
}

static int parse_service_bytes(const char *text, size_t len, struct cgroup_parsing *parsing, Sonde__V1__Cgroup *out)
{
	int r = parse_blkio(text, len, parsing, true, out);
	drop_silent(out);
	return r;
}

static int parse_serviced(const char *text, size_t len, struct cgroup_parsing *parsing, Sonde__V1__Cgroup *out)
{
	return parse_blkio(text, len, parsing, false, out);
}

const struct cgroup_file cgroup_files[CGROUP_FILES] = {
	{"cpu.stat", CGROUP_CPU, true, CGROUP_READ_CPU, CGROUP_ALWAYS, parse_cpu_stat},
	{"memory.current", CGROUP_MEMORY, true, CGROUP_READ_RANK, CGROUP_ALWAYS, parse_memory},
	{"io.stat", CGROUP_BLKIO, true, CGROUP_READ_USAGE, CGROUP_ALWAYS, parse_io_stat},
	{"pids.current", CGROUP_PIDS, true, CGROUP_READ_USAGE, CGROUP_ALWAYS, parse_tasks},
	{"cpu.max", CGROUP_CPU, true, CGROUP_READ_LIMITS, CGROUP_ALWAYS, parse_cpu_max},
	{"memory.max", CGROUP_MEMORY, true, CGROUP_READ_LIMITS, CGROUP_ALWAYS, parse_memory_limit},
	{"memory.high", CGROUP_MEMORY, true, CGROUP_READ_LIMITS, CGROUP_ALWAYS, parse_memory_high},
	{"memory.peak", CGROUP_MEMORY, true, CGROUP_READ_DETAIL, CGROUP_ALWAYS, parse_memory_peak},
	{"memory.swap.current", CGROUP_MEMORY, true, CGROUP_READ_DETAIL, CGROUP_ALWAYS, parse_swap},
	{"memory.stat", CGROUP_MEMORY, true, CGROUP_READ_DETAIL, CGROUP_ALWAYS, parse_memory_stat},
	{"memory.events", CGROUP_MEMORY, true, CGROUP_READ_DETAIL, CGROUP_ALWAYS, parse_memory_events},
	{"pids.max", CGROUP_PIDS, true, CGROUP_READ_LIMITS, CGROUP_ALWAYS, parse_tasks_limit},
	{"cpu.pressure", CGROUP_CORE, true, CGROUP_READ_DETAIL, CGROUP_ALWAYS, parse_cpu_pressure},
	{"memory.pressure", CGROUP_CORE, true, CGROUP_READ_DETAIL, CGROUP_ALWAYS, parse_memory_pressure},
	{"io.pressure", CGROUP_CORE, true, CGROUP_READ_DETAIL, CGROUP_ALWAYS, parse_io_pressure},
	{"irq.pressure", CGROUP_CORE, true, CGROUP_READ_DETAIL, CGROUP_ALWAYS, parse_irq_pressure},
	{"cpuacct.usage", CGROUP_CPUACCT, false, CGROUP_READ_CPU, CGROUP_ALWAYS, parse_usage_v1},
	{"memory.usage_in_bytes", CGROUP_MEMORY, false, CGROUP_READ_RANK, CGROUP_ALWAYS, parse_memory},
	{"pids.current", CGROUP_PIDS, false, CGROUP_READ_USAGE, CGROUP_ALWAYS, parse_tasks},
	{"cpu.stat", CGROUP_CPU, false, CGROUP_READ_USAGE, CGROUP_HAD_LIMIT, parse_cpu_stat_v1},
	{"blkio.throttle.io_service_bytes_recursive", CGROUP_BLKIO, false, CGROUP_READ_USAGE, CGROUP_HAD_IO,
	 parse_service_bytes},
	{"blkio.throttle.io_serviced_recursive", CGROUP_BLKIO, false, CGROUP_READ_USAGE, CGROUP_DEVICES_FOUND,
	 parse_serviced},
	{"cpuacct.stat", CGROUP_CPUACCT, false, CGROUP_READ_DETAIL, CGROUP_ALWAYS, parse_usage_split_v1},
	{"cpu.cfs_period_us", CGROUP_CPU, false, CGROUP_READ_LIMITS, CGROUP_ALWAYS, parse_period_v1},
	{"cpu.cfs_quota_us", CGROUP_CPU, false, CGROUP_READ_LIMITS, CGROUP_ALWAYS, parse_quota_v1},
	{"memory.limit_in_bytes", CGROUP_MEMORY, false, CGROUP_READ_LIMITS, CGROUP_ALWAYS, parse_memory_limit},
	{"memory.max_usage_in_bytes", CGROUP_MEMORY, false, CGROUP_READ_DETAIL, CGROUP_ALWAYS, parse_memory_peak},
	{"memory.kmem.usage_in_bytes", CGROUP_MEMORY, false, CGROUP_READ_DETAIL, CGROUP_ALWAYS, parse_kernel},
	{"memory.stat", CGROUP_MEMORY, false, CGROUP_READ_DETAIL, CGROUP_ALWAYS, parse_memory_stat_v1},
	{"memory.failcnt", CGROUP_MEMORY, false, CGROUP_READ_DETAIL, CGROUP_ALWAYS, parse_failures},
	{"memory.oom_control", CGROUP_MEMORY, false, CGROUP_READ_DETAIL, CGROUP_ALWAYS, parse_oom_control},
	{"pids.max", CGROUP_PIDS, false, CGROUP_READ_LIMITS, CGROUP_ALWAYS, parse_tasks_limit},
};
