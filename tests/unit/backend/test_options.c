#include "backend/options.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char *const no_environment[] = {NULL};
static char error[OPTIONS_ERROR_SIZE];
static struct options options;

/* --config /dev/null keeps a machine's own /etc/sonde/backend.yaml out of the tests. */
static int read_with(char *const *environment, char *const *arguments)
{
	char *argv[32] = {(char *)"sonde-backend", (char *)"--config=/dev/null"};
	int argc = 2;
	for (; *arguments; arguments++)
		argv[argc++] = *arguments;
	return options_read(argc, argv, environment, &options, error);
}

#define READ(...) read_with(no_environment, (char *[]){__VA_ARGS__ __VA_OPT__(, ) NULL})
#define YAML(text) options_read_yaml(text, strlen(text), "b.yaml", &options, error)

#define assert_error(words)                                                                                            \
	do {                                                                                                           \
		if (!strstr(error, words))                                                                             \
			fail_msg("\"%s\" does not say %s", error, words);                                              \
		assert_null(strchr(error, '\n'));                                                                      \
	} while (0)

static void test_defaults(void **state)
{
	assert_int_equal(READ(), 0);
	assert_int_equal(options.action, OPTIONS_SERVE);
	assert_string_equal(options.http.host, "127.0.0.1");
	assert_int_equal(options.http.port, 8000);
	assert_int_equal(options.grpc.port, 50051);
	assert_string_equal(options.store, "sqlite:/var/lib/sonde/sonde.db");
	assert_string_equal(options.agent_key_file, "/var/lib/sonde/agent.key");
	assert_in_range(options.grpc_workers, 1, 4);
	assert_false(options.allow_plaintext);
	assert_string_equal(options.admin_password, "");
}

static void test_history(void **state)
{
	assert_int_equal(READ(), 0);
	assert_true(options.keep_raw_us == 14 * 86400000000ll);
	assert_true(options.keep_minute_us == 400 * 86400000000ll);
	assert_true(options.keep_processes_us == 3 * 86400000000ll);
	assert_true(options.seal_every_us == 600000000);
	assert_true(options.max_store_bytes == 0);
	assert_int_equal(READ((char *)"--retention-raw=36h", (char *)"--retention-minute=0",
			      (char *)"--retention-processes=90s", (char *)"--retention-raw-bytes=20GiB",
			      (char *)"--retention-minute-bytes=512MiB", (char *)"--retention-processes-bytes=77",
			      (char *)"--store-max-bytes=1TiB", (char *)"--seal-every=1h"),
			 0);
	assert_true(options.keep_raw_us == 36 * 3600000000ll);
	assert_true(options.keep_minute_us == 0);
	assert_true(options.keep_processes_us == 90000000);
	assert_true(options.max_raw_bytes == 20ull << 30);
	assert_true(options.max_minute_bytes == 512ull << 20);
	assert_true(options.max_processes_bytes == 77);
	assert_true(options.max_store_bytes == 1ull << 40);
	assert_true(options.seal_every_us == 3600000000);
	static const char *const wrong[] = {
		"--retention-raw=14",	 "--retention-raw=d",	      "--retention-raw=-1d",
		"--retention-raw=1 d",	 "--retention-raw=99999999d", "--retention-raw=1.5h",
		"--store-max-bytes=1GB", "--store-max-bytes=GiB",     "--store-max-bytes=99999999TiB",
		"--seal-every=0",	 "--seal-every=61m",	      "--seal-every=600"};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		char flag[64];
		snprintf(flag, sizeof(flag), "%s", wrong[i]);
		assert_int_equal(READ(flag), -EINVAL);
		assert_error("is not");
	}
	assert_int_equal(READ((char *)"--retention-raw=99999999999999999999d"), -EINVAL);
}

static void test_flags(void **state)
{
	assert_int_equal(READ((char *)"--http-listen", (char *)"[::1]:0", (char *)"--store=sqlite:x.db",
			      (char *)"--log-level", (char *)"debug", (char *)"--grpc-workers=64",
			      (char *)"--web-root=/w"),
			 0);
	assert_string_equal(options.http.host, "::1");
	assert_int_equal(options.http.port, 0);
	assert_string_equal(options.store, "sqlite:x.db");
	assert_string_equal(options.agent_key_file, "agent.key");
	assert_int_equal(options.log_level, LOG_LEVEL_DEBUG);
	assert_int_equal(options.grpc_workers, 64);
	assert_string_equal(options.web_root, "/w");
}

static void test_wrong_flags(void **state)
{
	static const struct {
		const char *flag, *value, *says;
	} cases[] = {
		{"--http-listen", "nonsense", "--http-listen"},
		{"--http-listen", "127.0.0.1", "127.0.0.1"},
		{"--http-listen", "127.0.0.1:", "--http-listen"},
		{"--grpc-listen", "127.0.0.1:65536", "65536"},
		{"--grpc-listen", ":80", "--grpc-listen"},
		{"--grpc-listen", "example.org:80", "example.org"},
		{"--grpc-listen", "::1:80", "--grpc-listen"},
		{"--grpc-listen", "[127.0.0.1]:80", "--grpc-listen"},
		{"--log-level", "loud", "debug, info"},
		{"--log-format", "xml", "logfmt or json"},
		{"--grpc-workers", "0", "1 to 64"},
		{"--grpc-workers", "65", "1 to 64"},
		{"--grpc-workers", "4x", "1 to 64"},
		{"--grpc-workers", "", "1 to 64"},
		{"--grpc-workers", "99999999999999999999", "1 to 64"},
		{"--store", "", "--store"},
		{"--allow-plaintext=maybe", NULL, "true or false"},
		{"--http-plaintext=maybe", NULL, "true or false"},
		{"--frobnicate", NULL, "--frobnicate"},
		{"--store", NULL, "wants a value"},
		{"--http-listenx", "1", "--http-listenx"},
		{"-x", NULL, "-x"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		memset(&options, 0x5a, sizeof(options));
		struct options before = options;
		assert_int_equal(
			read_with(no_environment, (char *[]){(char *)cases[i].flag, (char *)cases[i].value, NULL}),
			-EINVAL);
		assert_error(cases[i].says);
		assert_memory_equal(&options, &before, sizeof(before));
	}
}

static void test_precedence(void **state)
{
	char path[] = "/tmp/sonde-options-XXXXXX", config[64];
	static const char yaml[] = "log_level: error\nstore: sqlite:/file/a.db\nhttp_listen: 127.0.0.1:1\n";
	char *environment[] = {(char *)"SONDE_STORE=sqlite:/env/a.db",
			       (char *)"SONDE_HTTP_LISTEN=127.0.0.1:2",
			       (char *)"SONDE_ADMIN_PASSWORD=long enough",
			       (char *)"OTHER=1",
			       (char *)"SONDE_STORES=x",
			       NULL};
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, yaml, strlen(yaml)), strlen(yaml));
	close(fd);
	snprintf(config, sizeof(config), "--config=%s", path);
	char *argv[] = {(char *)"sonde-backend", config, (char *)"--http-listen=127.0.0.1:3", NULL};
	assert_int_equal(options_read(3, argv, environment, &options, error), 0);
	unlink(path);
	assert_int_equal(options.log_level, LOG_LEVEL_ERROR);
	assert_string_equal(options.store, "sqlite:/env/a.db");
	assert_string_equal(options.agent_key_file, "/env/agent.key");
	assert_int_equal(options.http.port, 3);
	assert_string_equal(options.admin_password, "long enough");
	assert_int_equal(options_read(3, argv, environment, &options, error), -ENOENT);
	assert_error(path);
}

static void test_wrong_variables(void **state)
{
	assert_int_equal(read_with((char *[]){(char *)"SONDE_LOG_FORMAT=xml", NULL}, (char *[]){NULL}), -EBADMSG);
	assert_error("SONDE_LOG_FORMAT: \"xml\"");
	assert_int_equal(read_with((char *[]){(char *)"SONDE_STORE=", NULL}, (char *[]){NULL}), -EBADMSG);
	assert_error("SONDE_STORE");
}

static void test_yaml(void **state)
{
	options_defaults(&options);
	assert_int_equal(YAML("http_listen: \"[::1]:9\"\ngrpc_workers: 2\nallow_plaintext: true\nlog_format: json\n"),
			 0);
	assert_string_equal(options.http.host, "::1");
	assert_int_equal(options.grpc_workers, 2);
	assert_true(options.allow_plaintext);
	assert_int_equal(options.log_format, LOG_FORMAT_JSON);
	assert_int_equal(YAML(""), 0);
	assert_int_equal(YAML("# nothing\n"), 0);
	assert_int_equal(options.grpc_workers, 2);
}

static void test_wrong_yaml(void **state)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{"log_level: info\n\n# x\nhttp_lisen: a\n", "b.yaml: line 4: unknown key \"http_lisen\""},
		{"\"frob\": a\n", "line 1: unknown key \"frob\""},
		{"log_level: info\nlog_format: xml\n", "line 2: log_format: \"xml\" is not logfmt or json"},
		{"store: [a]\n", "b.yaml: "},
		{"store: {a: b}\n", "b.yaml: "},
		{"- store\n", "b.yaml: "},
		{"store: a\nstore: b\n", "already seen"},
		{"store: \"a\n", "b.yaml: "},
		{"\tstore: a\n", "b.yaml: "},
		{"\xff\xfe\x01", "b.yaml: "},
		{"a: &x 1\n", "b.yaml: "},
		{"allow_plaintext: yes\n", "true or false"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		options_defaults(&options);
		assert_int_equal(YAML(cases[i].text), -EBADMSG);
		assert_error(cases[i].says);
	}
}

static void test_plaintext_must_be_asked_for(void **state)
{
	assert_int_equal(READ((char *)"--http-listen=[::]:1"), -EBADMSG);
	assert_error("--allow-plaintext");
	assert_int_equal(READ((char *)"--grpc-listen=0.0.0.0:1", (char *)"--tls=false"), -EBADMSG);
	assert_error("0.0.0.0:1");
	assert_int_equal(READ((char *)"--http-listen=128.0.0.1:1"), -EBADMSG);
	assert_int_equal(READ((char *)"--http-listen=[::]:1", (char *)"--allow-plaintext"), 0);
	assert_int_equal(READ((char *)"--http-listen=[::]:1", (char *)"--http-plaintext"), 0);
	assert_int_equal(READ((char *)"--grpc-listen=[::]:1", (char *)"--http-plaintext", (char *)"--tls=false"),
			 -EBADMSG);
	assert_error("--allow-plaintext");
	assert_int_equal(READ((char *)"--http-listen=127.9.9.9:1"), 0);
	assert_int_equal(READ((char *)"--http-listen=localhost:1"), 0);
	assert_string_equal(options.http.host, "127.0.0.1");
}

static void test_tls(void **state)
{
#define TLS(expected, ...)                                                                                             \
	do {                                                                                                           \
		assert_int_equal(READ(__VA_ARGS__), 0);                                                                \
		assert_int_equal(options.tls, (expected));                                                             \
	} while (0)
	char *beyond = (char *)"--grpc-listen=0.0.0.0:1", *allowed = (char *)"--allow-plaintext",
	     *certificate = (char *)"--tls-cert=/c.pem", *key = (char *)"--tls-key=/k.pem";
	TLS(false);
	TLS(true, beyond);
	TLS(false, beyond, allowed);
	TLS(true, beyond, allowed, (char *)"--tls");
	TLS(true, beyond, (char *)"--http-listen=0.0.0.0:1", (char *)"--http-plaintext");
	TLS(true, (char *)"--tls=true");
	TLS(true, certificate);
	TLS(true, certificate, key);
	TLS(true, (char *)"--tls-client-ca=/ca.pem");
	assert_string_equal(options.tls_dir, "/var/lib/sonde/tls");
	TLS(true, (char *)"--tls", (char *)"--store=sqlite:x/y.db");
	assert_string_equal(options.tls_dir, "x/tls");
	TLS(true, (char *)"--tls", (char *)"--tls-dir=/d", (char *)"--tls-names=a.example,192.0.2.1",
	    (char *)"--health-listen=0.0.0.0:5", (char *)"--grpc-max-age=60");
	assert_string_equal(options.tls_dir, "/d");
	assert_string_equal(options.tls_names, "a.example,192.0.2.1");
	assert_string_equal(options.health.host, "0.0.0.0");
	assert_int_equal(options.grpc_max_age_s, 60);
	assert_int_equal(READ(key), -EBADMSG);
	assert_error("tls_cert");
	assert_int_equal(READ(certificate, (char *)"--tls=false"), -EBADMSG);
	assert_int_equal(READ((char *)"--tls=maybe"), -EINVAL);
	assert_int_equal(READ((char *)"--grpc-max-age=2592001"), -EINVAL);
	assert_int_equal(READ((char *)"--health-listen=5"), -EINVAL);
}

/* A URL may carry a password: no complaint repeats it. */
static void test_store_on_a_server(void **state)
{
	static char url[2 * OPTIONS_PATH_SIZE + 64] = "postgresql://sonde:hush@db/";
	char variable[sizeof(url) + 16], yaml[sizeof(url) + 16];
	assert_int_equal(READ((char *)"--store=postgresql://sonde:hush@db/sonde"), 0);
	assert_string_equal(options.store, "postgresql://sonde:hush@db/sonde");
	assert_string_equal(options.agent_key_file, "/var/lib/sonde/agent.key");
	assert_string_equal(options.tls_dir, "/var/lib/sonde/tls");
	memset(url + strlen(url), 'x', sizeof(url) - strlen(url) - 1);
	assert_int_equal(READ((char *)"--store", url), -EINVAL);
	assert_null(strstr(error, "hush"));
	snprintf(variable, sizeof(variable), "SONDE_STORE=%s", url);
	assert_int_equal(read_with((char *[]){variable, NULL}, (char *[]){NULL}), -EBADMSG);
	assert_null(strstr(error, "hush"));
	snprintf(yaml, sizeof(yaml), "store: %.4200s\n", url);
	options_defaults(&options);
	assert_int_equal(options_read_yaml(yaml, strlen(yaml), "b.yaml", &options, error), -EBADMSG);
	assert_null(strstr(error, "hush"));
	assert_int_equal(READ((char *)"--stor=postgresql://sonde:hush@db/sonde"), -EINVAL);
	assert_error("--stor;");
	assert_null(strstr(error, "hush"));
}

static void test_commands(void **state)
{
	assert_int_equal(READ((char *)"key", (char *)"create", (char *)"--name", (char *)"web"), 0);
	assert_int_equal(options.action, OPTIONS_KEY_CREATE);
	assert_string_equal(options.name, "web");
	assert_int_equal(READ((char *)"--store=sqlite:a", (char *)"user", (char *)"set-password", (char *)"ann"), 0);
	assert_int_equal(options.action, OPTIONS_USER_SET_PASSWORD);
	assert_string_equal(options.name, "ann");
	assert_string_equal(options.store, "sqlite:a");
	assert_int_equal(READ((char *)"--help", (char *)"--http-listen=x"), 0);
	assert_int_equal(options.action, OPTIONS_HELP);
	assert_int_equal(READ((char *)"--version"), 0);
	assert_int_equal(options.action, OPTIONS_VERSION);
	char long_name[100];
	memset(long_name, 'a', sizeof(long_name));
	long_name[64] = '\0';
	assert_int_equal(READ((char *)"key", (char *)"create", (char *)"--name", long_name), -EINVAL);
	long_name[63] = '\0';
	assert_int_equal(READ((char *)"key", (char *)"create", (char *)"--name", long_name), 0);
	assert_int_equal(READ((char *)"key", (char *)"create"), -EINVAL);
	assert_int_equal(READ((char *)"key"), -EINVAL);
	assert_int_equal(READ((char *)"user", (char *)"set-password"), -EINVAL);
	assert_int_equal(READ((char *)"serve"), -EINVAL);
	assert_int_equal(READ((char *)"--name=x"), -EINVAL);
	assert_int_equal(READ((char *)"backup", (char *)"a.bak", (char *)"--store=sqlite:a"), 0);
	assert_int_equal(options.action, OPTIONS_BACKUP);
	assert_int_equal(options.command.n_operands, 1);
	assert_string_equal(options.command.operands[0], "a.bak");
	assert_int_equal(READ((char *)"backup"), -EINVAL);
	assert_error("backup FILE");
	assert_int_equal(READ((char *)"restore", (char *)"a", (char *)"b"), -EINVAL);
	assert_int_equal(READ((char *)"export"), -EINVAL);
	assert_int_equal(READ((char *)"export", (char *)"--format=csv", (char *)"-o", (char *)"f", (char *)"--resume"), 0);
	assert_string_equal(options.command.format, "csv");
	assert_string_equal(options.command.output, "f");
	assert_string_equal(options.command.resume, "true");
	assert_null(options.command.host);
	assert_int_equal(READ((char *)"export", (char *)"--format=csv", (char *)"--resume=1"), -EINVAL);
	assert_int_equal(READ((char *)"export", (char *)"--format=csv", (char *)"--name=x"), -EINVAL);
	assert_error("does not belong");
	assert_int_equal(READ((char *)"import", (char *)"--format", (char *)"jsonl", (char *)"a", (char *)"b"), 0);
	assert_int_equal(options.command.n_operands, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_history),
		cmocka_unit_test(test_flags),
		cmocka_unit_test(test_wrong_flags),
		cmocka_unit_test(test_precedence),
		cmocka_unit_test(test_wrong_variables),
		cmocka_unit_test(test_yaml),
		cmocka_unit_test(test_wrong_yaml),
		cmocka_unit_test(test_plaintext_must_be_asked_for),
		cmocka_unit_test(test_tls),
		cmocka_unit_test(test_store_on_a_server),
		cmocka_unit_test(test_commands),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
