/* What the agent was told: defaults, then the YAML file, then SONDE_... in the environment, then flags; later wins.
 * Every key of the file is a flag (--key-file) and a variable (SONDE_KEY_FILE) as well. */
#pragma once

#include "agent/field_filter.h"
#include "agent/settings.h"
#include "common/log.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define OPTIONS_DEFAULT_FILE "/etc/sonde/agent.yaml" /* read if it exists and no other is named */
#define OPTIONS_ERROR_SIZE 512
#define OPTIONS_MAX_NAMES 64
#define OPTIONS_NAME_SIZE 64
#define OPTIONS_PATH_SIZE 4096

/* JSON for --once, text for the doctor; or what was asked for. */
enum options_format { OPTIONS_FORMAT_DEFAULT, OPTIONS_FORMAT_JSON, OPTIONS_FORMAT_PROMETHEUS };
enum options_action { OPTIONS_RUN, OPTIONS_TOP, OPTIONS_DOCTOR, OPTIONS_HELP, OPTIONS_VERSION };

struct options {
	enum options_action action;
	char backend_host[256]; /* "" when there is none */
	uint16_t backend_port;
	bool allow_plaintext;		  /* to a backend that is not on this host */
	char ca_file[OPTIONS_PATH_SIZE];  /* of the backend's certificate; "": as delivery/transport.h says */
	char tls_cert[OPTIONS_PATH_SIZE]; /* our own, for backends that want one; "": none */
	char tls_key[OPTIONS_PATH_SIZE];  /* "": in the file of the certificate */
	char metrics_host[256];		  /* "": no listener */
	uint16_t metrics_port;
	bool metrics_plaintext; /* beyond this host */
	char key_file[OPTIONS_PATH_SIZE];
	uint32_t interval_ms;
	char state_dir[OPTIONS_PATH_SIZE];
	uint64_t spool_bytes;	      /* 0: snapshots wait in memory only */
	char root[OPTIONS_PATH_SIZE]; /* "" for the running host */
	char btf[OPTIONS_PATH_SIZE];  /* "" for the kernel's own */
	enum log_level log_level;
	enum log_format log_format;
	char disable[OPTIONS_MAX_NAMES][OPTIONS_NAME_SIZE]; /* collectors */
	size_t n_disable;
	struct {
		char collector[OPTIONS_NAME_SIZE];
		uint32_t interval_ms;
	} intervals[OPTIONS_MAX_NAMES];
	size_t n_intervals;
	struct field_names exclude;
	struct collector_settings collector;
	bool once;
	enum options_format format; /* of --once and the doctor */
};

/* argv[0] is skipped; environment as in environ(7). names: of the collectors that `disable` may hold, ending with NULL.
 * 0, or -EINVAL with one line in error that names the key, flag, variable or line of the file and says what it should
 * be. */
int options_read(int argc, char *const *argv, char *const *environment, const char *const *names, struct options *ret,
		 char error[OPTIONS_ERROR_SIZE]) __attribute__((nonnull, warn_unused_result));

/* The YAML alone, on top of *options; `file` is for messages. As options_read(). */
int options_read_yaml(const char *yaml, size_t len, const char *file, const char *const *names, struct options *options,
		      char error[OPTIONS_ERROR_SIZE]) __attribute__((nonnull, warn_unused_result));

void options_defaults(struct options *ret) __attribute__((nonnull));

void options_print_help(FILE *out) __attribute__((nonnull));

/* "100ms", "1s", "5m", "1h": 100 ms to 1 h. 0 or -EINVAL. */
int options_parse_interval(const char *text, uint32_t *ret_ms) __attribute__((nonnull, warn_unused_result));
/* "67108864", "64MiB"; also KiB and GiB. 0 or -EINVAL. */
int options_parse_bytes(const char *text, uint64_t *ret) __attribute__((nonnull, warn_unused_result));
/* "HOST:PORT", "[::1]:PORT". 0 or -EINVAL. */
int options_parse_address(const char *text, char *ret_host, size_t size, uint16_t *ret_port)
	__attribute__((nonnull, warn_unused_result));
/* localhost, 127.0.0.0/8 or ::1: what is sent there does not leave the host. */
bool options_is_loopback(const char *host) __attribute__((nonnull));
