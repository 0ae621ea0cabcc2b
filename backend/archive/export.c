/* A metric of a host is the unit: it is read, sorted and written, and then the state beside the file says so. Whoever
 * resumes cuts off what was written since. */
#include "backend/archive/export.h"

#include "backend/archive/export_read.h"
#include "backend/archive/progress.h"
#include "common/clock.h"
#include "common/whole_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FLUSH_BYTES (1u << 20)
#define STATE_EVERY_NS 1000000000u

struct export
{
	struct export_request request; /* from and to may be those of what is resumed */
	const volatile sig_atomic_t *stop;
	struct export_counts *counts;
	struct export_units units;
	struct export_reader reader;
	char *error;
	/* Where it goes. */
	int fd;
	char *part, *state;
	struct buf out;
	uint64_t offset; /* in the file */
	uint64_t next_state_ns;
	/* The last that is done; NULL at the beginning. A custom metric has a blank before it: it comes behind all
	 * others. */
	char *done_metric, *done_host;
	uint64_t done_offset;
	bool done_named; /* what stands above its readings is written */
};

static int fail(struct export *x, int r, const char *what)
{
	if (x->error[0] == '\0')
		snprintf(x->error, EXPORT_ERROR_SIZE, "%s: %s", what, strerror(-r));
	return r;
}

/* --- output ------------------------------------------------------------------------------------------------------- */

static int flush(struct export *x)
{
	const uint8_t *p = x->out.data;
	size_t len = x->out.len;
	while (len > 0) {
		ssize_t n = write(x->fd, p, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail(x, -errno, x->request.output ? x->request.output : "standard output");
		p += n;
		len -= (size_t)n;
		x->offset += (uint64_t)n;
	}
	x->counts->bytes += x->out.len;
	buf_reset(&x->out);
	return 0;
}

/* Says that all up to done_offset is done. */
static int save_state(struct export *x)
{
	int r = flush(x);
	if (r < 0)
		return r;
	if (fsync(x->fd) < 0)
		return fail(x, -errno, x->part);
	json_t *json = json_pack("{s:s, s:I, s:I, s:I, s:s, s:s, s:b}", "request", x->request.identity, "from_us",
				 (json_int_t)x->request.from_us, "to_us", (json_int_t)x->request.to_us, "offset",
				 (json_int_t)x->done_offset, "metric", x->done_metric, "host", x->done_host, "named",
				 (int)x->done_named);
	char *text = json ? json_dumps(json, JSON_INDENT(1)) : NULL;
	r = text ? whole_file_write(x->state, text, strlen(text), 0600) : -ENOMEM;
	free(text);
	json_decref(json);
	x->next_state_ns = clock_monotonic_ns() + STATE_EVERY_NS;
	return r < 0 ? fail(x, r, x->state) : 0;
}

static int note_done(struct export *x, const struct export_metric *metric, const struct store_host *host, bool named)
{
	char *name = NULL, *hostname = strdup(host->hostname);
	if (!hostname || asprintf(&name, "%s%s", metric->custom ? " " : "", metric->path) < 0) {
		free(hostname);
		return -ENOMEM;
	}
	free(x->done_metric);
	free(x->done_host);
	x->done_metric = name;
	x->done_host = hostname;
	x->done_offset = x->offset + x->out.len;
	x->done_named = named;
	return x->state && clock_monotonic_ns() >= x->next_state_ns ? save_state(x) : 0;
}

static int load_state(struct export *x)
{
	json_error_t why;
	json_t *json = json_load_file(x->state, 0, &why);
	const char *request, *metric, *host;
	json_int_t from, to, offset;
	int named, r = 0;
	if (!json)
		return 0; /* nothing was done, or nobody knows what: begin anew */
	if (json_unpack(json, "{s:s, s:I, s:I, s:I, s:s, s:s, s:b}", "request", &request, "from_us", &from, "to_us",
			&to, "offset", &offset, "metric", &metric, "host", &host, "named", &named) < 0 ||
	    offset < 0) {
		snprintf(x->error, EXPORT_ERROR_SIZE, "%s is damaged: delete it and begin anew", x->state);
		r = -EBADMSG;
	} else if (strcmp(request, x->request.identity) != 0) {
		snprintf(x->error, EXPORT_ERROR_SIZE,
			 "%s was begun with other flags: repeat those, or leave out --resume", x->part);
		r = -EINVAL;
	} else {
		x->request.from_us = from;
		x->request.to_us = to;
		x->offset = x->done_offset = (uint64_t)offset;
		x->done_metric = strdup(metric);
		x->done_host = strdup(host);
		r = x->done_metric && x->done_host ? 0 : -ENOMEM;
		x->done_named = named;
		x->counts->resumed = true;
	}
	json_decref(json);
	return r;
}

static int open_output(struct export *x)
{
	if (!x->request.output) {
		x->fd = STDOUT_FILENO;
		return 0;
	}
	if (asprintf(&x->part, "%s.part", x->request.output) < 0 || asprintf(&x->state, "%s.json", x->part) < 0)
		return -ENOMEM;
	if (access(x->request.output, F_OK) == 0) {
		snprintf(x->error, EXPORT_ERROR_SIZE, "%s is there already: choose another name", x->request.output);
		return -EEXIST;
	}
	int r = x->request.resume ? load_state(x) : 0;
	if (r < 0)
		return r;
	if (!x->counts->resumed)
		(void)unlink(x->state);
	x->fd = open(x->part, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	off_t end = x->fd < 0 ? -1 : lseek(x->fd, 0, SEEK_END);
	if (end >= 0 && (uint64_t)end < x->offset) {
		snprintf(x->error, EXPORT_ERROR_SIZE, "%s is shorter than %s says: delete both and begin anew", x->part,
			 x->state);
		return -EBADMSG;
	}
	if (end < 0 || ftruncate(x->fd, (off_t)x->offset) < 0 || lseek(x->fd, (off_t)x->offset, SEEK_SET) < 0)
		return fail(x, -errno, x->part);
	return 0;
}

static int finish_output(struct export *x)
{
	int r = flush(x);
	if (r < 0 || !x->part)
		return r;
	if (fsync(x->fd) < 0 || rename(x->part, x->request.output) < 0)
		return fail(x, -errno, x->request.output);
	(void)unlink(x->state);
	return 0;
}

/* --- the work ----------------------------------------------------------------------------------------------------- */

static bool is_done(const struct export *x, const struct export_metric *metric, const struct store_host *host)
{
	if (!x->done_metric)
		return false;
	bool custom = x->done_metric[0] == ' ';
	int order = metric->custom - custom;
	if (order == 0)
		order = strcmp(metric->path, x->done_metric + custom);
	return order < 0 || (order == 0 && strcmp(host->hostname, x->done_host) <= 0);
}

static int write_unit(struct export *x, const struct export_metric *metric, const struct store_host *host, bool *named)
{
	struct export_reading reading;
	BUF_CLEANUP struct buf series = BUF_INIT(2u << 20);
	const char *function = x->request.step_us > 0 ? x->request.function_name : NULL;
	int r;
	while ((r = export_next(&x->reader, &reading)) == 1) {
		r = *named ? 0 : export_put_metric(x->request.format, metric, function, &x->out);
		*named = true;
		if (r == 0)
			r = export_put_reading(x->request.format, metric, function, host->hostname, reading.labels,
					       reading.labels_len, reading.time_us, &reading.value, &x->out);
		if (series.len != reading.series_len || memcmp(series.data, reading.series, series.len) != 0) {
			buf_reset(&series);
			r = r < 0 ? r : buf_append(&series, reading.series, reading.series_len);
			x->counts->series++;
		}
		x->counts->readings++;
		if (r == 0 && x->out.len >= FLUSH_BYTES)
			r = flush(x);
		if (r == 0 && *x->stop)
			r = -EINTR;
		if (r < 0)
			return r;
	}
	return r;
}

static int do_unit(struct export *x, struct export_metric *metric, const struct store_host *host, bool *named)
{
	int r = sorter_reset(x->reader.sorter);
	if (r == 0)
		r = export_read(&x->reader, metric, host, x->error, EXPORT_ERROR_SIZE);
	/* Of all metrics some are of a kind that has not this function. */
	if (r == -EINVAL && !x->reader.selector && x->request.step_us > 0) {
		x->error[0] = '\0';
		return note_done(x, metric, host, *named);
	}
	if (r == 0)
		r = write_unit(x, metric, host, named);
	return r < 0 ? r : note_done(x, metric, host, *named);
}

static int write_all(struct export *x)
{
	struct progress progress = progress_begin("export");
	size_t total = x->units.n_metrics * x->units.n_hosts;
	int r = x->offset == 0 ? export_put_head(x->request.format, &x->out) : 0;
	for (size_t m = 0; m < x->units.n_metrics && r == 0; m++) {
		struct export_metric *metric = &x->units.metrics[m];
		bool resumed = x->done_metric && strcmp(metric->path, x->done_metric + (x->done_metric[0] == ' ')) == 0;
		bool named = resumed && x->done_named;
		for (size_t h = 0; h < x->units.n_hosts && r == 0; h++) {
			if (is_done(x, metric, &x->units.hosts[h]))
				continue;
			r = *x->stop ? -EINTR : do_unit(x, metric, &x->units.hosts[h], &named);
			progress_show(&progress, m * x->units.n_hosts + h + 1, total, " metrics");
		}
	}
	progress_end(&progress);
	if (r == -EINTR && x->state && x->done_metric) {
		int saved = save_state(x);
		r = saved < 0 ? saved : r;
	}
	if (r == 0)
		r = export_put_end(x->request.format, &x->out);
	return r;
}

static int run(struct export *x, struct store *store)
{
	struct selector selector = {.n_matchers = 0};
	struct schemas *schemas = NULL;
	struct query_store place = {.store = store};
	int r = open_output(x);
	if (r == 0 && x->request.selector)
		r = selector_parse(x->request.selector, strlen(x->request.selector), &selector, x->error,
				   EXPORT_ERROR_SIZE);
	if (r == 0)
		r = schemas_open(store, &schemas);
	if (r == 0)
		r = sorter_new(NULL, SORTER_MEMORY, &x->reader.sorter);
	if (r == 0) {
		const struct export_place where = {
			.store = store, .schemas = schemas, .from_us = x->request.from_us, .to_us = x->request.to_us};
		r = export_units_list(&where, x->request.selector ? selector.metric : NULL, x->request.host, &x->units);
	}
	if (r == -ENOENT)
		snprintf(x->error, EXPORT_ERROR_SIZE, "no host is called %.200s", x->request.host);
	if (r == 0) {
		place.schemas = schemas;
		x->reader.source = query_source_store(&place);
		x->reader.request = &x->request;
		x->reader.selector = x->request.selector ? &selector : NULL;
		r = write_all(x);
	}
	if (r == 0)
		r = finish_output(x);
	if (r < 0)
		r = fail(x, r, "export");
	x->counts->damaged = x->reader.damaged;
	export_units_free(&x->units);
	sorter_free(x->reader.sorter);
	schemas_close(schemas);
	selector_free(&selector);
	return r;
}

int export_run(struct store *store, const struct export_request *request, const volatile sig_atomic_t *stop,
	       struct export_counts *ret, char error[EXPORT_ERROR_SIZE])
{
	struct export x = {
		.request = *request, .stop = stop, .counts = ret, .error = error, .fd = -1, .out = BUF_INIT(64u << 20)};
	*ret = (struct export_counts){.readings = 0};
	error[0] = '\0';
	int r = run(&x, store);
	if (x.request.output && x.fd >= 0)
		close(x.fd);
	buf_free(&x.out);
	free(x.part);
	free(x.state);
	free(x.done_metric);
	free(x.done_host);
	return r;
}
