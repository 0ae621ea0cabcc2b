#include "agent/options.h"

#include "agent/extras.h"
#include "tests/unit/agent/tree.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_ARGS 32

static const char *const names[] = {"cpu", "memory", "block_io", NULL};
static char *const no_environment[] = {NULL};

/* A configuration that exists and says nothing keeps the tests off this machine's own. */
static char empty_file[] = "/dev/null";

struct call {
	struct options options;
	char error[OPTIONS_ERROR_SIZE];
	int result;
};

static struct call read_with(char *const *environment, const char *config, const char *const *args)
{
	struct call call = {.error = ""};
	char *argv[MAX_ARGS] = {(char *)"sonde-agent", (char *)"--config", (char *)config};
	int argc = 3;
	for (; *args; args++) {
		assert_true(argc < MAX_ARGS);
		argv[argc++] = (char *)*args;
	}
	call.result = options_read(argc, argv, environment, names, &call.options, call.error);
	if (call.result < 0) {
		assert_int_equal(call.result, -EINVAL);
		assert_true(call.error[0] != '\0');
		assert_null(strchr(call.error, '\n'));
	}
	return call;
}

#define READ(...) read_with(no_environment, empty_file, (const char *const[]){__VA_ARGS__, NULL})

static void test_defaults(void **state)
{
	struct call c = READ("--once");
	assert_int_equal(c.result, 0);
	assert_true(c.options.once);
	assert_int_equal(c.options.interval_ms, 1000);
	assert_string_equal(c.options.state_dir, "/var/lib/sonde-agent");
	assert_int_equal(c.options.spool_bytes, 64 << 20);
	assert_int_equal(c.options.format, OPTIONS_FORMAT_DEFAULT);
	assert_int_equal(c.options.log_level, LOG_LEVEL_INFO);
	assert_int_equal(c.options.n_disable, 0);
	assert_string_equal(c.options.root, "");
	assert_int_equal(c.options.collector.top, 12);
	assert_int_equal(c.options.collector.keyframe_ms, 60000);
	assert_int_equal(c.options.collector.command_line, COMMAND_LINE_SCRUBBED);
	assert_int_equal(c.options.collector.extras, 1 << EXTRA_TCP_RTT);
	assert_float_equal(c.options.collector.probe_budget_ratio, 0.01, 1e-12);
}

static void test_flags(void **state)
{
	struct call c = READ("--backend", "127.0.0.1:50051", "--key-file=/k", "--interval=250ms", "--disable",
			     "cpu,block_io", "--log-format", "json", "--log-level", "debug", "--root", "/host");
	assert_int_equal(c.result, 0);
	assert_string_equal(c.options.backend_host, "127.0.0.1");
	assert_int_equal(c.options.backend_port, 50051);
	assert_string_equal(c.options.key_file, "/k");
	assert_int_equal(c.options.interval_ms, 250);
	assert_int_equal(c.options.n_disable, 2);
	assert_string_equal(c.options.disable[1], "block_io");
	assert_int_equal(c.options.log_format, LOG_FORMAT_JSON);
	assert_int_equal(c.options.log_level, LOG_LEVEL_DEBUG);
	assert_string_equal(c.options.root, "/host");
	c = READ("--once", "--intervals", "cpu=100ms,memory=1h", "--exclude=memory.slab_bytes,vmstat.*", "--top",
		 "1000", "--keyframe", "5m", "--command-line", "full", "--custom-dir", "/var/lib/metrics",
		 "--probe-budget", "0.25", "--extra", "off_cpu,run_queue_cgroups");
	assert_int_equal(c.result, 0);
	assert_int_equal(c.options.n_intervals, 2);
	assert_string_equal(c.options.intervals[1].collector, "memory");
	assert_int_equal(c.options.intervals[1].interval_ms, 3600000);
	assert_int_equal(c.options.exclude.n, 2);
	assert_string_equal(c.options.exclude.names[1], "vmstat.*");
	assert_int_equal(c.options.collector.top, 1000);
	assert_int_equal(c.options.collector.keyframe_ms, 300000);
	assert_int_equal(c.options.collector.command_line, COMMAND_LINE_FULL);
	assert_string_equal(c.options.collector.custom_dir, "/var/lib/metrics");
	assert_float_equal(c.options.collector.probe_budget_ratio, 0.25, 1e-12);
	assert_int_equal(c.options.collector.extras, 1 << EXTRA_OFF_CPU | 1 << EXTRA_RUN_QUEUE_CGROUPS);
	assert_int_equal(READ("--once", "--extra", "none").options.collector.extras, 0);
	assert_int_equal(READ("--help").options.action, OPTIONS_HELP);
	assert_int_equal(READ("--version").options.action, OPTIONS_VERSION);
}

static void test_perf(void **state)
{
	struct call c = READ("--perf-events", "cycles,cpu/event=0x3c,umask=1/,{r1,r2}", "--perf-cgroups", "/a,/b/c.d",
			     "--perf-uncore", "all", "--once");
	const struct collector_settings *s = &c.options.collector;
	assert_int_equal(c.result, 0);
	assert_int_equal(s->n_perf_events, 3);
	assert_string_equal(s->perf_events[1], "cpu/event=0x3c,umask=1/");
	assert_string_equal(s->perf_events[2], "{r1,r2}");
	assert_int_equal(s->n_perf_cgroups, 2);
	assert_string_equal(s->perf_cgroups[1], "/b/c.d");
	assert_int_equal(s->perf_uncore, PERF_UNCORE_ALL);
	assert_int_equal(READ("--once").options.collector.perf_uncore, PERF_UNCORE_AUTO);
	static const struct {
		const char *key, *value, *words;
	} wrong[] = {
		{"--perf-events", "cycles,cylces", "--perf-events: \"cylces\" is no event"},
		{"--perf-events", "cycles,cycles", "\"cycles\" occurs twice"},
		{"--perf-events", "{r1,r2,r3,r4,r5,r6,r7,r8,r9}", "more than 8"},
		{"--perf-events", "{cycles", "without an end"},
		{"--perf-events", "cpu/event=1", "without an end"},
		{"--perf-events", "cycles,,r1", "nothing between"},
		{"--perf-cgroups", "nginx", "\"nginx\" is no cgroup's path"},
		{"--perf-cgroups", "/a/../../etc", "is no cgroup's path"},
		{"--perf-uncore", "some", "none of off, auto, all"},
	};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		c = READ(wrong[i].key, wrong[i].value);
		if (c.result == 0 || !strstr(c.error, wrong[i].words))
			fail_msg("%s %s: %s", wrong[i].key, wrong[i].value, c.error);
	}
}

/* Each complaint names what it is about. */
static void expect_complaint(const char *about, const char *const *args)
{
	struct call c = read_with(no_environment, empty_file, args);
	if (c.result == 0)
		fail_msg("accepted: %s %s", args[0], args[1] ? args[1] : "");
	if (!strstr(c.error, about))
		fail_msg("\"%s\" does not name %s", c.error, about);
}

#define COMPLAINT(about, ...) expect_complaint(about, (const char *const[]){__VA_ARGS__, NULL})

static void test_bad_flags(void **state)
{
	COMPLAINT("--backend", "--interval", "1s"); /* none given */
	COMPLAINT("--key-file", "--backend", "localhost:1");
	COMPLAINT("--nonsense", "--nonsense");
	COMPLAINT("--nonsense", "--once", "--nonsense=1");
	COMPLAINT("stray", "--once", "stray");
	COMPLAINT("--once", "--once=yes");
	COMPLAINT("--interval", "--once", "--interval");
	COMPLAINT("--spool-bytes", "--once", "--spool-bytes", "255KiB");
	COMPLAINT("--spool-bytes", "--once", "--spool-bytes", "65GiB");
	COMPLAINT("--spool-bytes", "--once", "--spool-bytes", "64MB");
	COMPLAINT("--spool-bytes", "--once", "--spool-bytes", "");
	COMPLAINT("--spool-bytes", "--once", "--spool-bytes", "-1");
	COMPLAINT("--interval", "--once", "--interval", "1");
	COMPLAINT("--interval", "--once", "--interval", "99ms");
	COMPLAINT("--interval", "--once", "--interval", "2h");
	COMPLAINT("--interval", "--once", "--interval", "-1s");
	COMPLAINT("--backend", "--backend", "localhost");
	COMPLAINT("--backend", "--backend", "localhost:0");
	COMPLAINT("--backend", "--backend", "localhost:65536");
	COMPLAINT("--format", "--once", "--format", "xml");
	COMPLAINT("gpu", "--once", "--disable", "cpu,gpu");
	COMPLAINT("gpu", "--once", "--intervals", "gpu=1s");
	COMPLAINT("cpu=500ms", "--once", "--intervals", "cpu");
	COMPLAINT("cpu=99ms", "--once", "--intervals", "cpu=99ms");
	COMPLAINT("memory.", "--once", "--intervals", "memory.=1s");
	COMPLAINT("memory.nonsense", "--once", "--exclude", "memory.slab_bytes,memory.nonsense");
	COMPLAINT("memory.state", "--once", "--exclude", "memory.state");
	COMPLAINT("--top", "--once", "--top", "0");
	COMPLAINT("--probe-budget", "--once", "--probe-budget", "1.01");
	COMPLAINT("--probe-budget", "--once", "--probe-budget", "-0.1");
	COMPLAINT("--probe-budget", "--once", "--probe-budget", "nan");
	COMPLAINT("--probe-budget", "--once", "--probe-budget", "1%");
	COMPLAINT("--probe-budget", "--once", "--probe-budget", "");
	COMPLAINT("everything", "--once", "--extra", "off_cpu,everything");
	COMPLAINT("--top", "--once", "--top", "1001");
	COMPLAINT("--keyframe", "--once", "--keyframe", "60");
	COMPLAINT("scrubbed", "--once", "--command-line", "some");
	COMPLAINT("--custom-dir", "--once", "--custom-dir", "");
	COMPLAINT("--log-level", "--once", "--log-level", "loud");
	COMPLAINT("--allow-plaintext", "--once", "--allow-plaintext=maybe");
	COMPLAINT("--state-dir", "--once", "--state-dir", "");
	COMPLAINT("a?b", "--once", "--interval", "a\nb"); /* still one line */
	COMPLAINT("/no/such/file", "--once", "--config", "/no/such/file");
}

/* delivery/transport.h decides; here is only that it is heard. */
static void test_transport(void **state)
{
	assert_int_equal(READ("--backend", "localhost:1", "--key-file", "/k").result, 0);
	assert_int_equal(READ("--backend", "127.9.9.9:1", "--key-file", "/k").result, 0);
	assert_int_equal(READ("--backend", "[::1]:1", "--key-file", "/k").result, 0);
	assert_int_equal(READ("--backend", "10.0.0.1:1", "--key-file", "/k").result, 0);
	assert_true(READ("--backend", "10.0.0.1:1", "--key-file", "/k", "--allow-plaintext").options.allow_plaintext);
	assert_false(options_is_loopback("127.evil.example"));
	assert_false(options_is_loopback("localhost.example"));
	struct call o = READ("--backend", "b:1", "--key-file", "/k", "--ca-file", "/ca.pem", "--tls-cert", "/c.pem",
			     "--tls-key", "/c.key");
	assert_int_equal(o.result, 0);
	assert_string_equal(o.options.ca_file, "/ca.pem");
	assert_string_equal(o.options.tls_cert, "/c.pem");
	assert_string_equal(o.options.tls_key, "/c.key");
	COMPLAINT("tls_cert", "--backend", "b:1", "--key-file", "/k", "--tls-key", "/c.key");
	COMPLAINT("--ca-file", "--once", "--ca-file", "");
}

static void test_precedence(void **state)
{
	struct tree tree;
	char file[128];
	char *const environment[] = {(char *)"SONDE_INTERVAL=2s", (char *)"SONDE_LOG_LEVEL=warn",
				     (char *)"SONDE_ALLOW_PLAINTEXT=true", (char *)"SONDE_OTHER=x", NULL};
	const char *const once[] = {"--once", NULL};
	const char *const once_and_flag[] = {"--once", "--interval", "3s", NULL};
	tree_make(&tree);
	snprintf(file, sizeof(file), "%s/agent.yaml", tree.path);
	tree_write(&tree, "agent.yaml",
		   "interval: 5s\nlog_level: error\nkey_file: /from/file\ndisable: [cpu, memory]\n");

	struct call c = read_with(no_environment, file, once);
	assert_int_equal(c.result, 0);
	assert_int_equal(c.options.interval_ms, 5000);
	assert_string_equal(c.options.key_file, "/from/file");
	assert_int_equal(c.options.n_disable, 2);

	c = read_with(environment, file, once);
	assert_int_equal(c.result, 0);
	assert_int_equal(c.options.interval_ms, 2000);
	assert_int_equal(c.options.log_level, LOG_LEVEL_WARN);
	assert_string_equal(c.options.key_file, "/from/file");
	assert_true(c.options.allow_plaintext);

	c = read_with(environment, file, once_and_flag);
	assert_int_equal(c.options.interval_ms, 3000);

	char *const bad[] = {(char *)"SONDE_INTERVAL=soon", NULL};
	c = read_with(bad, file, once);
	assert_int_equal(c.result, -EINVAL);
	assert_non_null(strstr(c.error, "SONDE_INTERVAL"));
	tree_destroy(&tree);
}

static void test_config_from_environment(void **state)
{
	struct tree tree;
	char variable[128];
	struct options options;
	char error[OPTIONS_ERROR_SIZE];
	char *const argv[] = {(char *)"sonde-agent", (char *)"--once"};
	tree_make(&tree);
	snprintf(variable, sizeof(variable), "SONDE_CONFIG=%s/agent.yaml", tree.path);
	tree_write(&tree, "agent.yaml", "interval: 7s\n");
	char *const environment[] = {variable, NULL};
	assert_int_equal(options_read(2, argv, environment, names, &options, error), 0);
	assert_int_equal(options.interval_ms, 7000);
	tree_destroy(&tree);
}

static int yaml(const char *text, struct options *options, char error[OPTIONS_ERROR_SIZE])
{
	options_defaults(options);
	error[0] = '\0';
	int r = options_read_yaml(text, strlen(text), "agent.yaml", names, options, error);
	if (r < 0) {
		assert_non_null(strstr(error, "agent.yaml"));
		assert_null(strchr(error, '\n'));
	}
	return r;
}

static void test_yaml(void **state)
{
	struct options options;
	char error[OPTIONS_ERROR_SIZE];
	assert_int_equal(yaml("backend: '[::1]:50051'\nkey_file: /k\nstate_dir: /s\nroot: /r\nbtf: /b\n"
			      "log_format: json\nallow_plaintext: true\ndisable:\n  - block_io\n"
			      "intervals: [cpu=200ms]\nexclude: [memory.*, cpu.cores]\ntop: 5\nkeyframe: 30s\n"
			      "command_line: 'off'\ncustom_dir: /m\nspool_bytes: 1GiB\n"
			      "probe_budget: 0.5\nextra: [run_queue_cgroups]\n"
			      "perf_events:\n  - cycles\n  - cpu/event=0x3c,umask=1/\nperf_cgroups: [/x]\n"
			      "perf_uncore: 'off'\n",
			      &options, error),
			 0);
	assert_string_equal(options.backend_host, "::1");
	assert_string_equal(options.state_dir, "/s");
	assert_string_equal(options.root, "/r");
	assert_string_equal(options.btf, "/b");
	assert_true(options.allow_plaintext);
	assert_string_equal(options.disable[0], "block_io");
	assert_int_equal(options.intervals[0].interval_ms, 200);
	assert_int_equal(options.exclude.n, 2);
	assert_int_equal(options.collector.top, 5);
	assert_int_equal(options.collector.command_line, COMMAND_LINE_OFF);
	assert_string_equal(options.collector.custom_dir, "/m");
	assert_float_equal(options.collector.probe_budget_ratio, 0.5, 1e-12);
	assert_int_equal(options.collector.extras, 1 << EXTRA_RUN_QUEUE_CGROUPS);
	assert_int_equal(options.spool_bytes, 1 << 30);
	assert_int_equal(options.collector.n_perf_events, 2);
	assert_string_equal(options.collector.perf_events[1], "cpu/event=0x3c,umask=1/");
	assert_string_equal(options.collector.perf_cgroups[0], "/x");
	assert_int_equal(options.collector.perf_uncore, PERF_UNCORE_OFF);
	assert_int_equal(yaml("", &options, error), 0);
	assert_int_equal(yaml("# only a comment\n", &options, error), 0);
}

static void test_bad_yaml(void **state)
{
	static const struct {
		const char *text, *about;
	} bad[] = {
		{"interval: 1s\nintervall: 2s\n", "line: 2"}, /* an unknown key names its line */
		{"interval: 1s\nintervall: 2s\n", "intervall"},
		{"interval: soon\n", "interval"},
		{"# first\n\ninterval: 1s\ndisable:\n  - cpu\n\nbad : x\n", "line: 7"},
		{"interval: 1s\n\ninterval: 2s\n", "line: 3"},
		{"last: 1s", "line: 1"},
		{"disable: [gpu]\n", "gpu"},
		{"disable: cpu\n", "line: 1"},
		{"intervals: [cpu]\n", "cpu=500ms"},
		{"exclude: [memory.free]\n", "memory.free"},
		{"top: many\n", "top"},
		{"backend: nowhere\n", "backend"},
		{"- a\n- b\n", "MAPPING"},
		{"interval: [1s\n", "agent.yaml"},
		{"a: *b\n", "agent.yaml"},
		{"\x01\x02", "agent.yaml"},
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct options options;
		char error[OPTIONS_ERROR_SIZE];
		if (yaml(bad[i].text, &options, error) != -EINVAL)
			fail_msg("accepted: %s", bad[i].text);
		if (!strstr(error, bad[i].about))
			fail_msg("\"%s\" does not name %s", error, bad[i].about);
	}
}

static void test_intervals(void **state)
{
	static const struct {
		const char *text;
		uint32_t ms;
	} good[] = {{"100ms", 100}, {"1s", 1000},    {"90s", 90000},
		    {"1m", 60000},  {"1h", 3600000}, {"3600000ms", 3600000}};
	static const char *const bad[] = {"",
					  "s",
					  "1",
					  "1 s",
					  "1S",
					  "1.5s",
					  "99ms",
					  "61m",
					  "3601s",
					  "1d",
					  "0x1s",
					  "-1s",
					  "1s ",
					  "18446744073709551615h",
					  "18446744073709551617ms"};
	uint32_t ms = 0;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(options_parse_interval(good[i].text, &ms), 0);
		assert_int_equal(ms, good[i].ms);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(options_parse_interval(bad[i], &ms), -EINVAL);
	assert_int_equal(ms, 3600000);
}

static void test_addresses(void **state)
{
	char host[16];
	uint16_t port;
	assert_int_equal(options_parse_address("h:1", host, sizeof(host), &port), 0);
	assert_int_equal(options_parse_address("[fe80::1]:65535", host, sizeof(host), &port), 0);
	assert_string_equal(host, "fe80::1");
	assert_int_equal(port, 65535);
	static const char *const bad[] = {"",
					  ":1",
					  "h",
					  "h:",
					  "h:x",
					  "h:-1",
					  "::1:5",
					  "[]:1",
					  "h:1 ",
					  "a b:1",
					  "http://h:1",
					  "u@h:1",
					  "sixteen-letters-:1"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(options_parse_address(bad[i], host, sizeof(host), &port), -EINVAL);
	assert_string_equal(host, "fe80::1");
}

static void test_help_has_every_key(void **state)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	options_print_help(out);
	fclose(out);
	static const char *const flags[] = {
		"--backend", "--key-file",  "--interval",   "--state-dir",	 "--root",
		"--btf",     "--log-level", "--log-format", "--disable",	 "--once",
		"--format",  "--config",    "--version",    "--allow-plaintext", "--intervals",
		"--exclude", "--top",	    "--keyframe",   "--command-line",	 "--custom-dir"};
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		assert_non_null(strstr(text, flags[i]));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),   cmocka_unit_test(test_flags),
		cmocka_unit_test(test_bad_flags),  cmocka_unit_test(test_transport),
		cmocka_unit_test(test_precedence), cmocka_unit_test(test_config_from_environment),
		cmocka_unit_test(test_yaml),	   cmocka_unit_test(test_perf),
		cmocka_unit_test(test_bad_yaml),   cmocka_unit_test(test_intervals),
		cmocka_unit_test(test_addresses),  cmocka_unit_test(test_help_has_every_key),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
