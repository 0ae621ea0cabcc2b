#include "agent/custom/custom.h"

#include "agent/custom/directory.h"
#include "agent/custom/series.h"
#include "agent/label.h"
#include "agent/settings.h"
#include "common/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PERIOD_MS 15000

struct custom {
	char dir[SETTINGS_PATH_SIZE];
	struct prom_names names;
	struct prom_file file;
};

static void destroy(void *self)
{
	struct custom *custom = self;
	if (!custom)
		return;
	free(custom->file.text);
	free(custom);
}

static int create(const struct collector_context *context, void **ret_self, struct collector_state *state)
{
	if (!context->settings || context->settings->custom_dir[0] == '\0')
		return collector_fail(state, SONDE__V1__STATE__CODE__CODE_DISABLED, -ENOENT, "no_directory",
				      "custom_dir is not set: name a directory of *.prom files to have them shown");
	struct custom *custom = calloc(1, sizeof(*custom));
	if (!custom)
		return -ENOMEM;
	memcpy(custom->dir, context->settings->custom_dir, sizeof(custom->dir));
	custom->file.text = malloc(CUSTOM_MAX_FILE_BYTES + 1);
	if (!custom->file.text) {
		destroy(custom);
		return -ENOMEM;
	}
	*ret_self = custom;
	return 0;
}

static const char *word_read_error(int error)
{
	switch (error) {
	case -EMSGSIZE:
		return "larger than 1 MiB";
	case -EINVAL:
		return "not a file";
	default:
		return log_strerror(error);
	}
}

/* True when the file was refused. What it needs of the arena was made before: a full one must not keep it from saying
 * so. */
static bool take_file(struct custom *custom, int dir, uint32_t i, struct series *series, Sonde__V1__CustomFile *out)
{
	char error[SERIES_ERROR_SIZE] = "";
	size_t taken = 0;
	custom->file.modified_seconds = 0;
	int r = prom_file_read(dir, custom->names.names[i], &custom->file);
	bool unread = r < 0;
	if (custom->file.modified_seconds != 0)
		SET(out, modified_time_seconds, custom->file.modified_seconds);
	if (r == 0)
		r = series_add_file(series, custom->file.text, custom->file.len, i, custom->names.names, &taken, error);
	SET(out, refused, r < 0);
	SET(out, series, (uint32_t)taken);
	if (r < 0) {
		(void)snprintf(out->error, SERIES_ERROR_SIZE, "%s", unread ? word_read_error(r) : error);
		label_clean(out->error, strlen(out->error));
	} else {
		out->error = NULL;
	}
	return r < 0;
}

static int make_files(const struct custom *custom, struct arena *arena, Sonde__V1__Custom *out)
{
	out->files = arena_messages(arena, &sonde__v1__custom_file__descriptor, custom->names.n);
	if (!out->files && custom->names.n > 0)
		return -ENOMEM;
	for (size_t i = 0; i < custom->names.n; i++) {
		out->files[i]->file = label_copy(arena, custom->names.names[i], strlen(custom->names.names[i]));
		out->files[i]->error = arena_alloc(arena, SERIES_ERROR_SIZE);
		if (!out->files[i]->file || !out->files[i]->error)
			return -ENOMEM;
	}
	out->n_files = custom->names.n;
	return 0;
}

static int no_directory(const struct custom *custom, int error, struct collector_state *state)
{
	if (error == -ENOENT || error == -ENOTDIR)
		return collector_fail(state, SONDE__V1__STATE__CODE__CODE_UNAVAILABLE, error, "no_directory",
				      "custom_dir %.128s is no directory: make it, or set another", custom->dir);
	if (error == -EACCES)
		return collector_fail(state, SONDE__V1__STATE__CODE__CODE_DENIED, error, "no_permission",
				      "custom_dir %.128s cannot be read: let the agent's user read it", custom->dir);
	return collector_fail(state, SONDE__V1__STATE__CODE__CODE_FAILED, error, "cannot_read",
			      "custom_dir %.128s cannot be read: %s", custom->dir, log_strerror(error));
}

/* What a person should put right first. */
static void word_state(const struct custom *custom, const Sonde__V1__Custom *out, size_t refused,
		       const Sonde__V1__CustomFile *first, struct collector_state *state)
{
	if (refused > 0)
		(void)collector_fail(state, SONDE__V1__STATE__CODE__CODE_DEGRADED, 0, "broken_file",
				     "%zu of %zu files refused; %.80s: %.120s", refused, custom->names.n, first->file,
				     first->error);
	else if (out->left_out > 0)
		(void)collector_fail(state, SONDE__V1__STATE__CODE__CODE_DEGRADED, 0, "too_many_series",
				     "%u series are left out: at most %d, and at most %zu bytes of them, are shown",
				     out->left_out, CUSTOM_MAX_SERIES, CUSTOM_MAX_BYTES);
	else if (out->files_left_out > 0)
		(void)collector_fail(state, SONDE__V1__STATE__CODE__CODE_DEGRADED, 0, "too_many_files",
				     "%u files are not read: at most %d are", out->files_left_out, CUSTOM_MAX_FILES);
}

static int collect(void *self, struct tick *tick, ProtobufCMessage *section)
{
	struct custom *custom = self;
	Sonde__V1__Custom *out = (Sonde__V1__Custom *)section;
	const Sonde__V1__CustomFile *first = NULL;
	struct series series;
	size_t refused = 0;
	int dir;

	int r = prom_names_list(custom->dir, &custom->names, &dir);
	if (r < 0)
		return no_directory(custom, r, tick->state);
	r = make_files(custom, tick->arena, out);
	if (r == 0)
		r = series_init(&series, tick->arena, CUSTOM_MAX_SERIES, CUSTOM_MAX_BYTES);
	for (uint32_t i = 0; r == 0 && i < custom->names.n; i++) {
		if (take_file(custom, dir, i, &series, out->files[i]) && refused++ == 0)
			first = out->files[i];
	}
	close(dir);
	if (r < 0)
		return r;
	out->metrics = series.metrics;
	out->n_metrics = series.n;
	SET(out, left_out, (uint32_t)series.left_out);
	SET(out, files_left_out, (uint32_t)custom->names.left_out);
	word_state(custom, out, refused, first, tick->state);
	return 0;
}

const struct collector collector_custom = {
	.name = "custom",
	.reads = "custom_dir/*.prom",
	.needs = "",
	.period_ms = PERIOD_MS,
	.slow = true,
	.create = create,
	.collect = collect,
	.destroy = destroy,
};
