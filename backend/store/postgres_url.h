/* What stands behind --store postgresql://...: libpq's connection URL with one parameter of ours, citus=on. Pure. */
#pragma once

#include <stdbool.h>

struct postgres_url {
	char *conninfo; /* for libpq; carries the password: never to be shown */
	char *shown;	/* "database sonde at host:5432 as user sonde": for messages */
	char *password; /* NULL if the URL has none */
	bool citus;	/* citus=on: distribute the tables */
};

/* 0; -EINVAL with a malloc'd line that repeats nothing of the URL, for any part of it may turn out to be a piece of a
 * password that was not percent-encoded; -ENOMEM with *ret_error NULL. */
int postgres_url_parse(const char *url, struct postgres_url *ret, char **ret_error)
	__attribute__((nonnull, warn_unused_result));
void postgres_url_free(struct postgres_url *url);

/* Overwrites every occurrence of the password in a text, and what would break a log line. */
void postgres_url_redact(const struct postgres_url *url, char *text) __attribute__((nonnull));
