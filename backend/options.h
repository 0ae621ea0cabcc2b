/* What the backend was told: defaults, then the YAML file, then SONDE_... in the environment, then flags; later wins.
 * Every key of the file is a flag (--http-listen) and a variable (SONDE_HTTP_LISTEN) as well. */
#pragma once

#include "common/log.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define OPTIONS_DEFAULT_FILE "/etc/sonde/backend.yaml" /* read if it exists and no other is named */
#define OPTIONS_ERROR_SIZE 512
#define OPTIONS_PATH_SIZE 4096
#define OPTIONS_HOST_SIZE 64
#define OPTIONS_MAX_WORKERS 64
#define OPTIONS_MAX_OPERANDS 256 /* files of an import */

enum options_action {
	OPTIONS_SERVE,
	OPTIONS_HELP,
	OPTIONS_VERSION,
	OPTIONS_KEY_CREATE,	   /* name: of the key */
	OPTIONS_USER_SET_PASSWORD, /* name: of the user */
	OPTIONS_BACKUP,
	OPTIONS_RESTORE,
	OPTIONS_EXPORT,
	OPTIONS_IMPORT,
};

/* What a command was told besides, as it was written; out of argv, NULL for what was not. */
struct options_command {
	const char *name, *format, *host, *metric, *from, *to, *step, *function, *output, *resume;
	const char *operands[OPTIONS_MAX_OPERANDS];
	size_t n_operands;
};

struct options_address {
	char host[OPTIONS_HOST_SIZE]; /* numeric, without brackets */
	uint16_t port;
};

struct options {
	enum options_action action;
	struct options_command command;
	char name[64];
	struct options_address http, grpc;
	char store[OPTIONS_PATH_SIZE];
	char web_root[OPTIONS_PATH_SIZE];
	char agent_key_file[OPTIONS_PATH_SIZE];
	enum log_level log_level;
	enum log_format log_format;
	uint32_t grpc_workers;			   /* never 0 */
	uint32_t key_max_snapshots, key_max_bytes; /* a second; 0: no limit */
	uint32_t host_max_rows;			   /* a day; 0: no limit */
	/* History. 0: for ever, any size. */
	int64_t keep_raw_us, keep_minute_us, keep_processes_us;
	uint64_t max_raw_bytes, max_minute_bytes, max_processes_bytes, max_store_bytes;
	int64_t seal_every_us; /* 1 s to 1 h */
	bool allow_plaintext;  /* on any port, beyond the loopback address */
	bool http_plaintext;   /* on the HTTP port alone: gRPC stays encrypted there */
	enum { OPTIONS_TLS_AUTO, OPTIONS_TLS_ON, OPTIONS_TLS_OFF } tls_wanted;
	bool tls;			       /* the gRPC port speaks TLS: follows from all the others */
	char tls_dir[OPTIONS_PATH_SIZE];       /* of certificates of our own; never "" after options_read() */
	char tls_cert[OPTIONS_PATH_SIZE];      /* "": of our own */
	char tls_key[OPTIONS_PATH_SIZE];       /* "": in the file of the certificate */
	char tls_client_ca[OPTIONS_PATH_SIZE]; /* "": clients need no certificate */
	char tls_names[OPTIONS_PATH_SIZE];     /* more names for a certificate of our own, with commas between */
	struct options_address health;	       /* health alone, in plaintext; host is "" for none */
	uint32_t grpc_max_age_s;	       /* 0: connections may grow old */
	char admin_password[1025]; /* SONDE_ADMIN_PASSWORD; "" if unset. Not a key: it does not belong into a file */
};

/* argv[0] is skipped; environment as in environ(7). 0; -EINVAL for a wrong command line, -EBADMSG for a wrong variable
 * or file or values that do not go together, another negative errno for a file that cannot be read; with one line in
 * error that names the key, flag, variable or line and says what it should be. */
int options_read(int argc, char *const *argv, char *const *environment, struct options *ret,
		 char error[OPTIONS_ERROR_SIZE]) __attribute__((nonnull, warn_unused_result));

/* The YAML alone, on top of *options; `file` is for messages. 0 or -EBADMSG as above. */
int options_read_yaml(const char *yaml, size_t len, const char *file, struct options *options,
		      char error[OPTIONS_ERROR_SIZE]) __attribute__((nonnull, warn_unused_result));

void options_defaults(struct options *ret) __attribute__((nonnull));

/* "127.0.0.1:8000", "[::1]:8000", "localhost:0". 0 or -EINVAL. */
int options_parse_address(const char *text, struct options_address *ret) __attribute__((nonnull, warn_unused_result));
/* 127.0.0.0/8 or ::1: what is sent there does not leave the host. */
bool options_is_loopback(const char *host) __attribute__((nonnull));

void options_print_help(FILE *out) __attribute__((nonnull));
