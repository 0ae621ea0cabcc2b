#include "backend/options_keys.h"

#include "backend/options_values.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

int options_copy_text(char *out, size_t size, const char *value)
{
	size_t len = strlen(value);
	if (len == 0 || len >= size)
		return -EINVAL;
	memcpy(out, value, len + 1);
	return 0;
}

static int parse_number(const char *text, uint32_t max, uint32_t *ret)
{
	uint64_t v = 0;
	if (*text == '\0')
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9' || (v = v * 10 + (uint64_t)(*text - '0')) > max)
			return -EINVAL;
	}
	*ret = (uint32_t)v;
	return 0;
}

int options_parse_address(const char *text, struct options_address *ret)
{
	struct options_address address;
	const char *colon = strrchr(text, ':');
	uint8_t binary[16];
	uint32_t port;
	if (!colon || parse_number(colon + 1, 65535, &port) < 0)
		return -EINVAL;
	size_t len = (size_t)(colon - text);
	bool brackets = len >= 2 && text[0] == '[' && text[len - 1] == ']';
	if (brackets) {
		text++;
		len -= 2;
	}
	if (len == 0 || len >= sizeof(address.host))
		return -EINVAL;
	memcpy(address.host, text, len);
	address.host[len] = '\0';
	if (!brackets && strcmp(address.host, "localhost") == 0)
		memcpy(address.host, "127.0.0.1", sizeof("127.0.0.1"));
	if (inet_pton(brackets ? AF_INET6 : AF_INET, address.host, binary) != 1)
		return -EINVAL;
	address.port = (uint16_t)port;
	*ret = address;
	return 0;
}

bool options_is_loopback(const char *host)
{
	struct in_addr v4;
	struct in6_addr v6;
	if (inet_pton(AF_INET, host, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127;
	return inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

static int set_http_listen(struct options *o, const char *value)
{
	return options_parse_address(value, &o->http);
}

static int set_grpc_listen(struct options *o, const char *value)
{
	return options_parse_address(value, &o->grpc);
}

static int set_store(struct options *o, const char *value)
{
	return options_copy_text(o->store, sizeof(o->store), value);
}

static int set_web_root(struct options *o, const char *value)
{
	return options_copy_text(o->web_root, sizeof(o->web_root), value);
}

static int set_agent_key_file(struct options *o, const char *value)
{
	return options_copy_text(o->agent_key_file, sizeof(o->agent_key_file), value);
}

static int set_log_level(struct options *o, const char *value)
{
	return log_level_parse(value, &o->log_level);
}

static int set_log_format(struct options *o, const char *value)
{
	return log_format_parse(value, &o->log_format);
}

static int set_grpc_workers(struct options *o, const char *value)
{
	uint32_t n;
	if (parse_number(value, OPTIONS_MAX_WORKERS, &n) < 0 || n == 0)
		return -EINVAL;
	o->grpc_workers = n;
	return 0;
}

static int parse_switch(const char *value, bool *ret)
{
	if (strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
		return -EINVAL;
	*ret = value[0] == 't';
	return 0;
}

static int set_allow_plaintext(struct options *o, const char *value)
{
	return parse_switch(value, &o->allow_plaintext);
}

static int set_http_plaintext(struct options *o, const char *value)
{
	return parse_switch(value, &o->http_plaintext);
}

static int set_tls(struct options *o, const char *value)
{
	bool on;
	int r = parse_switch(value, &on);
	if (r == 0)
		o->tls_wanted = on ? OPTIONS_TLS_ON : OPTIONS_TLS_OFF;
	return r;
}

static int set_tls_dir(struct options *o, const char *value)
{
	return options_copy_text(o->tls_dir, sizeof(o->tls_dir), value);
}

static int set_tls_cert(struct options *o, const char *value)
{
	return options_copy_text(o->tls_cert, sizeof(o->tls_cert), value);
}

static int set_tls_key(struct options *o, const char *value)
{
	return options_copy_text(o->tls_key, sizeof(o->tls_key), value);
}

static int set_tls_client_ca(struct options *o, const char *value)
{
	return options_copy_text(o->tls_client_ca, sizeof(o->tls_client_ca), value);
}

static int set_tls_names(struct options *o, const char *value)
{
	return options_copy_text(o->tls_names, sizeof(o->tls_names), value);
}

static int set_health_listen(struct options *o, const char *value)
{
	return options_parse_address(value, &o->health);
}

static int set_grpc_max_age(struct options *o, const char *value)
{
	return parse_number(value, 30 * 86400, &o->grpc_max_age_s);
}

static int set_key_max_snapshots(struct options *o, const char *value)
{
	return parse_number(value, UINT32_MAX, &o->key_max_snapshots);
}

static int set_key_max_bytes(struct options *o, const char *value)
{
	return parse_number(value, UINT32_MAX, &o->key_max_bytes);
}

static int set_host_max_rows(struct options *o, const char *value)
{
	return parse_number(value, UINT32_MAX, &o->host_max_rows);
}

static int set_retention_raw(struct options *o, const char *value)
{
	return options_parse_duration(value, &o->keep_raw_us);
}

static int set_retention_minute(struct options *o, const char *value)
{
	return options_parse_duration(value, &o->keep_minute_us);
}

static int set_retention_processes(struct options *o, const char *value)
{
	return options_parse_duration(value, &o->keep_processes_us);
}

static int set_retention_raw_bytes(struct options *o, const char *value)
{
	return options_parse_size(value, &o->max_raw_bytes);
}

static int set_retention_minute_bytes(struct options *o, const char *value)
{
	return options_parse_size(value, &o->max_minute_bytes);
}

static int set_retention_processes_bytes(struct options *o, const char *value)
{
	return options_parse_size(value, &o->max_processes_bytes);
}

static int set_store_max_bytes(struct options *o, const char *value)
{
	return options_parse_size(value, &o->max_store_bytes);
}

static int set_seal_every(struct options *o, const char *value)
{
	int64_t us;
	if (options_parse_duration(value, &us) < 0 || us < 1000000 || us > 3600000000)
		return -EINVAL;
	o->seal_every_us = us;
	return 0;
}

#define DAY_US 86400000000ll
#define WANTS_DURATION "a duration like 36h or 14d, 0 for ever"
#define WANTS_SIZE "a size like 500MiB or 20GiB, 0 for any"
#define WANTS_ADDRESS "ADDRESS:PORT, like 127.0.0.1:8000 or [::1]:8000"

const struct option_key options_keys[] = {
	{"http_listen", set_http_listen, false, WANTS_ADDRESS,
	 "where REST, WebSocket and dashboard listen (127.0.0.1:8000)"},
	{"grpc_listen", set_grpc_listen, false, WANTS_ADDRESS,
	 "where agents and gRPC clients connect (127.0.0.1:50051)"},
	{"store", set_store, false, "sqlite:PATH or postgresql://USER@HOST/DATABASE",
	 "the database: sqlite:PATH or postgresql://USER@HOST/DATABASE[?citus=on] (sqlite:/var/lib/sonde/sonde.db)",
	 .is_secret = true},
	{"web_root", set_web_root, false, "a directory", "the built dashboard (" SONDE_WEB_ROOT ")"},
	{"agent_key_file", set_agent_key_file, false, "a file", "first agent key (agent.key beside the database file)"},
	{"grpc_workers", set_grpc_workers, false, "1 to 64", "threads that serve gRPC (one a CPU, at most 4)"},
	{"grpc_max_age", set_grpc_max_age, false, "seconds, at most 2592000",
	 "gRPC connections are asked to dial anew after so long (0: never)"},
	{"key_max_snapshots", set_key_max_snapshots, false, "a number",
	 "snapshots a second that agents of one key may send (0: any)"},
	{"key_max_bytes", set_key_max_bytes, false, "a number",
	 "bytes a second that agents of one key may send (0: any)"},
	{"host_max_rows", set_host_max_rows, false, "a number",
	 "different disks, cgroups, custom series ... that a host may bring in a day (50000; 0: any)"},
	{"retention_raw", set_retention_raw, false, WANTS_DURATION, "history is kept as it was sent for so long (14d)"},
	{"retention_minute", set_retention_minute, false, WANTS_DURATION,
	 "a value a minute is kept for so long (400d)"},
	{"retention_processes", set_retention_processes, false, WANTS_DURATION, "processes are kept for so long (3d)"},
	{"retention_raw_bytes", set_retention_raw_bytes, false, WANTS_SIZE, "the same in bytes: the oldest goes (0)"},
	{"retention_minute_bytes", set_retention_minute_bytes, false, WANTS_SIZE, "of a value a minute (0)"},
	{"retention_processes_bytes", set_retention_processes_bytes, false, WANTS_SIZE, "of processes (0)"},
	{"store_max_bytes", set_store_max_bytes, false, WANTS_SIZE, "of the whole database (0: what the disk has)"},
	{"seal_every", set_seal_every, false, "1s to 1h", "how often a host's snapshots become columns (10m)"},
	{"health_listen", set_health_listen, false, WANTS_ADDRESS,
	 "gRPC health alone, in plaintext, for probes of a TLS port (none)"},
	{"tls", set_tls, true, "true or false",
	 "gRPC over TLS (beyond the loopback address, unless --allow-plaintext)"},
	{"tls_cert", set_tls_cert, false, "a file", "PEM: certificate and chain (one of our own CA)"},
	{"tls_key", set_tls_key, false, "a file", "PEM: its key (in the file of --tls-cert)"},
	{"tls_client_ca", set_tls_client_ca, false, "a file",
	 "PEM: CAs that clients must have a certificate of (none)"},
	{"tls_dir", set_tls_dir, false, "a directory", "CA and certificate of our own (tls beside the database file)"},
	{"tls_names", set_tls_names, false, "names and addresses with commas between",
	 "more names for a certificate of our own"},
	{"allow_plaintext", set_allow_plaintext, true, "true or false",
	 "listen beyond the loopback address without encryption"},
	{"http_plaintext", set_http_plaintext, true, "true or false",
	 "the same for --http-listen alone: gRPC is encrypted there"},
	{"log_level", set_log_level, false, "debug, info, warn or error", "least important lines to log (info)"},
	{"log_format", set_log_format, false, "logfmt or json", "how a line looks (logfmt)"},
};
const size_t options_n_keys = sizeof(options_keys) / sizeof(options_keys[0]);
_Static_assert(sizeof(options_keys) / sizeof(options_keys[0]) <= OPTIONS_MAX_KEYS,
	       "the file's schema has room for every key");

void options_defaults(struct options *ret)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	*ret = (struct options){
		.action = OPTIONS_SERVE,
		.http = {.host = "127.0.0.1", .port = 8000},
		.grpc = {.host = "127.0.0.1", .port = 50051},
		.store = "sqlite:/var/lib/sonde/sonde.db",
		.web_root = SONDE_WEB_ROOT,
		.host_max_rows = 50000,
		.keep_raw_us = 14 * DAY_US,
		.keep_minute_us = 400 * DAY_US,
		.keep_processes_us = 3 * DAY_US,
		.seal_every_us = 600000000,
		.log_level = LOG_LEVEL_INFO,
		.log_format = LOG_FORMAT_LOGFMT,
		.grpc_workers = cpus < 1   ? 1
				: cpus > 4 ? 4
					   : (uint32_t)cpus,
	};
}
