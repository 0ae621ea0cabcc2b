/* Commands that carry data into and out of a store. */
#include "backend/archive/backup.h"
#include "backend/archive/export.h"
#include "backend/archive/import.h"
#include "backend/commands.h"
#include "backend/first_start.h"
#include "backend/query/time_text.h"
#include "backend/store/store_records.h"
#include "common/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct store *open_store(const struct options *options, bool to_read)
{
	struct store *store = NULL;
	char *error = NULL;
	/* Standard output may be the data. */
	log_configure(LOG_LEVEL_ERROR, options->log_format);
	int r = to_read ? store_open_to_read(options->store, &store, &error)
			: store_open(options->store, &store, &error);
	if (r < 0)
		fail_start("%s", error ? error : strerror(-r));
	free(error);
	return r < 0 ? NULL : store;
}

static void tell(const char *what, const char *path, const struct backup_counts *counts)
{
	fprintf(stderr, "%s %s: %llu hosts, %llu chunks, %llu rows, %llu bytes\n", what, path,
		(unsigned long long)counts->hosts, (unsigned long long)counts->chunks, (unsigned long long)counts->rows,
		(unsigned long long)counts->bytes);
}

int command_backup(const struct options *options)
{
	const char *path = options->command.operands[0];
	char error[BACKUP_ERROR_SIZE];
	struct backup_counts counts;
	struct store *store = open_store(options, true);
	if (!store)
		return 1;
	int r = backup_make(store, path, &counts, error);
	store_close(store);
	if (r < 0) {
		fail_start("%s", error);
		return 1;
	}
	tell("backed up to", path, &counts);
	if (counts.damaged == 0)
		return 0;
	fail_start("%llu damaged chunks could not be read and are not in the backup",
		   (unsigned long long)counts.damaged);
	return 3;
}

int command_restore(const struct options *options)
{
	const char *path = options->command.operands[0];
	char error[BACKUP_ERROR_SIZE];
	struct backup_counts counts;
	struct store *store = open_store(options, false);
	if (!store)
		return 1;
	int r = backup_restore(store, path, &counts, error);
	store_close(store);
	if (r < 0) {
		fail_start("%s", error);
		return 1;
	}
	tell("restored from", path, &counts);
	return 0;
}

/* --- export ------------------------------------------------------------------------------------------------------- */

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
	stopped = 1;
}

static int moment(const char *flag, const char *text, int64_t otherwise, int64_t *ret)
{
	*ret = otherwise;
	if (!text || time_text_moment(text, strlen(text), clock_wall_us(), ret) == 0)
		return 0;
	return fail_start("--%s: \"%.100s\" is no moment: 2026-11-21T00:00:00Z, seconds since 1970, or -24h", flag,
			  text);
}

static int read_function(const char *name, struct export_request *request)
{
	static const char *const names[RANGE_FUNCTION_END] = {
		[RANGE_AVG] = "avg",   [RANGE_MIN] = "min",   [RANGE_MAX] = "max",	     [RANGE_SUM] = "sum",
		[RANGE_LAST] = "last", [RANGE_RATE] = "rate", [RANGE_INCREASE] = "increase", [RANGE_P50] = "p50",
		[RANGE_P90] = "p90",   [RANGE_P99] = "p99",
	};
	for (unsigned i = RANGE_DEFAULT + 1; i < RANGE_FUNCTION_END; i++) {
		if (strcmp(names[i], name) == 0) {
			request->function = (enum range_function)i;
			request->function_name = names[i];
			return 0;
		}
	}
	return fail_start("--function: \"%.100s\" is none of avg, min, max, sum, last, rate, increase, p50, p90, p99",
			  name);
}

static int read_format(const char *name, enum export_format *ret)
{
	static const char *const names[] = {
		[EXPORT_CSV] = "csv", [EXPORT_OPENMETRICS] = "openmetrics", [EXPORT_JSONL] = "jsonl"};
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(names[i], name) == 0) {
			*ret = (enum export_format)i;
			return 0;
		}
	}
	return fail_start("--format: \"%.100s\" is none of csv, openmetrics, jsonl", name);
}

static int read_request(const struct options_command *c, struct export_request *ret)
{
	*ret = (struct export_request){
		.host = c->host, .selector = c->metric, .output = c->output, .resume = c->resume != NULL};
	if (read_format(c->format, &ret->format) < 0 || moment("from", c->from, 0, &ret->from_us) < 0 ||
	    moment("to", c->to, clock_wall_us(), &ret->to_us) < 0)
		return -1;
	if (ret->from_us >= ret->to_us)
		return fail_start("--from lies behind --to");
	if (!c->step != !c->function)
		return fail_start("--step and --function belong together");
	if (c->step && time_text_duration(c->step, strlen(c->step), &ret->step_us) < 0)
		return fail_start("--step: \"%.100s\" is no duration, like 1m", c->step);
	if (c->function && read_function(c->function, ret) < 0)
		return -1;
	if (ret->resume && !ret->output)
		return fail_start("--resume wants --output: what went to standard output is gone");
	return 0;
}

static const char *or_nothing(const char *text)
{
	return text ? text : "";
}

static int export_to(const struct options *options, const struct export_request *request)
{
	char error[EXPORT_ERROR_SIZE];
	struct export_counts counts;
	struct store *store = open_store(options, true);
	if (!store)
		return 1;
	const struct sigaction action = {.sa_handler = on_signal};
	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	int r = export_run(store, request, &stopped, &counts, error);
	store_close(store);
	if (r == -EINTR) {
		fail_start("interrupted%s", request->output ? ": say the same with --resume to go on" : "");
		return 130;
	}
	if (r == -EPIPE)
		return 1; /* whoever read it has seen enough */
	if (r < 0) {
		fail_start("%s", error);
		return 1;
	}
	fprintf(stderr, "exported %llu readings of %llu series, %llu bytes%s\n", (unsigned long long)counts.readings,
		(unsigned long long)counts.series, (unsigned long long)counts.bytes,
		counts.resumed ? " since it was resumed" : "");
	if (counts.damaged == 0)
		return 0;
	fail_start("%llu damaged stretches could not be read and are not in it", (unsigned long long)counts.damaged);
	return 3;
}

int command_export(const struct options *options)
{
	const struct options_command *c = &options->command;
	struct export_request request;
	char *identity = NULL;
	if (read_request(c, &request) < 0)
		return 2;
	if (asprintf(&identity, "format %s host %s metric %s from %s to %s step %s function %s", c->format,
		     or_nothing(c->host), or_nothing(c->metric), or_nothing(c->from), or_nothing(c->to),
		     or_nothing(c->step), or_nothing(c->function)) < 0) {
		fail_start("out of memory");
		return 1;
	}
	request.identity = identity;
	int r = export_to(options, &request);
	free(identity);
	return r;
}

/* --- import ------------------------------------------------------------------------------------------------------- */

int command_import(const struct options *options)
{
	const struct options_command *c = &options->command;
	struct import_counts counts = {.readings = 0};
	char error[IMPORT_ERROR_SIZE];
	enum export_format format;
	if (read_format(c->format, &format) < 0)
		return 2;
	if (format == EXPORT_CSV) {
		fail_start("--format: openmetrics and jsonl are imported");
		return 2;
	}
	struct store *store = open_store(options, false);
	if (!store)
		return 1;
	int r = 0;
	for (size_t i = 0; i < c->n_operands && r == 0; i++)
		r = import_file(store, format == EXPORT_JSONL ? IMPORT_JSONL : IMPORT_OPENMETRICS, c->operands[i],
				c->host, &counts, error);
	store_close(store);
	if (r < 0) {
		fail_start("%s", error);
		return 1;
	}
	fprintf(stderr, "imported %llu readings as %llu snapshots, %llu of which were there already; %llu new hosts\n",
		(unsigned long long)counts.readings, (unsigned long long)counts.snapshots,
		(unsigned long long)counts.known, (unsigned long long)counts.hosts_made);
	return 0;
}
