#include "agent/perf/cgroup_events.h"

#include "agent/host/mounts.h"
#include "agent/label.h"
#include "agent/perf/permission.h"
#include "agent/perf/ratios.h"
#include "agent/perf/source_fill.h"
#include "common/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOUNTINFO_MAX ((size_t)4 << 20)
#define LOOK_READS 5

static bool has_perf_event(struct word options)
{
	struct scan rest = scan_text(options.text, options.len);
	struct word option;
	while (perf_list_next(&rest, &option) > 0) {
		if (word_is(option, "perf_event"))
			return true;
	}
	return false;
}

int perf_cgroup_mount(const char *mountinfo, size_t len, char *ret, size_t size)
{
	struct mounts_reader reader = mounts_reader(mountinfo, len);
	struct mount mount, found = {.id = 0};
	int r;
	while ((r = mounts_next(&reader, &mount)) > 0) {
		bool v1 = word_is(mount.type, "cgroup") && has_perf_event(mount.options);
		if (v1 || (word_is(mount.type, "cgroup2") && !found.type.text))
			found = mount;
		if (v1)
			break;
	}
	if (r < 0)
		return r;
	char point[4096];
	if (!found.type.text)
		return -ENOENT;
	int n = mount_unescape(found.point, point, sizeof(point));
	if (n < 2 || point[0] != '/' || (size_t)n > size)
		return -EMSGSIZE;
	memcpy(ret, point + 1, (size_t)n); /* its terminator too */
	return 0;
}

static int read_mount(const struct root *root, char *ret, size_t size)
{
	struct root_file file;
	int r = root_file_open(root, "proc/1/mountinfo", MOUNTINFO_MAX, &file);
	if (r < 0)
		r = root_file_open(root, "proc/self/mountinfo", MOUNTINFO_MAX, &file);
	if (r < 0)
		return r;
	r = root_file_read(&file);
	if (r == 0)
		r = perf_cgroup_mount(file.text, file.len, ret, size);
	root_file_close(&file);
	return r;
}

static void find_mount(struct perf_cgroup_rows *rows)
{
	rows->mount_error = read_mount(rows->root, rows->mount, sizeof(rows->mount));
}

/* The directory's descriptor, with its inode. */
static int open_directory(const struct perf_cgroup_rows *rows, size_t i, uint64_t *ret_id)
{
	char path[1024];
	struct stat st;
	if (rows->mount_error < 0)
		return rows->mount_error;
	int n = snprintf(path, sizeof(path), "%s%s", rows->mount, rows->settings.perf_cgroups[i]);
	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	int fd = root_open_dir(rows->root, path);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0) {
		int r = -errno;
		close(fd);
		return r;
	}
	*ret_id = st.st_ino;
	return fd;
}

static void close_row(struct perf_cgroup_row *row)
{
	static const struct cpu_set none;
	perf_source_follow(&row->source, &none);
	close(row->source.cgroup);
	row->source.cgroup = -1;
	row->open = false;
	row->id = 0;
}

/* Counts of another cgroup are not carried on. */
static void forget(struct perf_source *source)
{
	memset(source->totals, 0, sizeof(source->totals));
}

/* The events hold the cgroup; its directory is not needed once they are open. But a CPU that comes later needs it, so
 * it stays open. */
static void open_row(struct perf_cgroup_rows *rows, size_t i, const struct cpu_set *online)
{
	struct perf_cgroup_row *row = &rows->rows[i];
	uint64_t id;
	int fd = open_directory(rows, i, &id);
	row->error = fd < 0 ? fd : 0;
	if (fd < 0)
		return;
	if (row->source.cgroup >= 0)
		close(row->source.cgroup);
	row->source.cgroup = fd;
	forget(&row->source);
	perf_source_follow(&row->source, online);
	row->error = row->source.open_error;
	row->open = row->error == 0;
	row->id = row->open ? id : 0;
}

/* Gone, or made anew under the same name. */
static bool has_changed(const struct perf_cgroup_rows *rows, size_t i)
{
	uint64_t id = 0;
	int fd = open_directory(rows, i, &id);
	if (fd >= 0)
		close(fd);
	return id != rows->rows[i].id;
}

int perf_cgroups_open(struct perf_cgroup_rows *rows, const struct root *root, const struct collector_settings *settings,
		      const struct perf_source *like, size_t max_descriptors, const struct cpu_set *online)
{
	size_t n = settings->n_perf_cgroups;
	*rows = (struct perf_cgroup_rows){.root = root, .limit = like->limit, .max_descriptors = max_descriptors};
	if (n == 0)
		return 0;
	rows->settings = *settings;
	find_mount(rows);
	rows->rows = calloc(n, sizeof(*rows->rows));
	if (!rows->rows)
		return -ENOMEM;
	for (; rows->n < n; rows->n++) {
		struct perf_source *source = &rows->rows[rows->n].source;
		int r = perf_source_init(source, false, like->limit);
		if (r < 0) {
			perf_cgroups_close(rows);
			return r;
		}
		perf_events_cgroup(&source->set);
		memcpy(source->kinds, like->kinds, sizeof(source->kinds));
		source->n_kinds = like->n_kinds;
		for (size_t kind = 0; kind <= source->n_kinds; kind++)
			source->kinds[kind].planned = false;
		source->max_descriptors = max_descriptors / n;
		open_row(rows, rows->n, online);
	}
	return 0;
}

void perf_cgroups_close(struct perf_cgroup_rows *rows)
{
	for (size_t i = 0; i < rows->n; i++) {
		if (rows->rows[i].source.cgroup >= 0)
			close(rows->rows[i].source.cgroup);
		perf_source_close(&rows->rows[i].source);
	}
	free(rows->rows);
	rows->rows = NULL;
	rows->n = 0;
}

void perf_cgroups_read(struct perf_cgroup_rows *rows, const struct cpu_set *online, const struct perf_busy *busy)
{
	bool look = ++rows->reads % LOOK_READS == 0;
	if (look)
		find_mount(rows);
	for (size_t i = 0; i < rows->n; i++) {
		struct perf_cgroup_row *row = &rows->rows[i];
		if (look && row->open && has_changed(rows, i))
			close_row(row);
		if (look && !row->open)
			open_row(rows, i, online);
		if (!row->open)
			continue;
		perf_source_follow(&row->source, online);
		perf_source_read(&row->source, busy);
	}
}

static char *word_error(const struct perf_cgroup_rows *rows, int error, struct arena *arena)
{
	struct collector_state state = {.detail = ""};
	if (error == -ENOENT) {
		(void)snprintf(state.detail, sizeof(state.detail),
			       "there is no such cgroup in the hierarchy that counters use (v1 perf_event, else v2)");
	} else if (error == -EACCES || error == -EPERM) {
		struct perf_permission permission = perf_permission_read(rows->root);
		(void)perf_source_fail(&state, error, &permission, false);
	} else {
		(void)snprintf(state.detail, sizeof(state.detail), "its events cannot be opened: %s",
			       log_strerror(error));
	}
	return arena_strndup(arena, state.detail, strlen(state.detail));
}

static int fill_row(const struct perf_cgroup_rows *rows, size_t i, struct arena *arena, Sonde__V1__PerfCgroup *message)
{
	const struct perf_cgroup_row *row = &rows->rows[i];
	const char *path = rows->settings.perf_cgroups[i];
	double value;
	message->path = label_copy(arena, path, strlen(path));
	if (!message->path)
		return -ENOMEM;
	if (!row->open) {
		message->error = word_error(rows, row->error, arena);
		return message->error ? 0 : -ENOMEM;
	}
	SET(message, id, row->id);
	if (perf_ratio(&row->source, -1, "instructions", "cycles", &value))
		SET(message, instructions_per_cycle_ratio, value);
	return perf_source_fill_totals(&row->source, arena, &message->n_events, &message->events);
}

int perf_cgroups_fill(const struct perf_cgroup_rows *rows, struct arena *arena, Sonde__V1__PerfCgroups *message)
{
	struct collector_state state = {.reason = ""};
	size_t open = 0;
	message->cgroups = arena_messages(arena, &sonde__v1__perf_cgroup__descriptor, rows->n);
	if (!message->cgroups)
		return -ENOMEM;
	for (size_t i = 0; i < rows->n; i++) {
		int r = fill_row(rows, i, arena, message->cgroups[message->n_cgroups++]);
		if (r < 0)
			return r;
		open += rows->rows[i].open;
	}
	if (open < rows->n)
		(void)collector_fail(&state, SONDE__V1__STATE__CODE__CODE_DEGRADED, 0, "cgroups_missing",
				     "%zu of %zu cgroups of perf_cgroups are not counted: each says why",
				     rows->n - open, rows->n);
	return perf_state_fill(&state, arena, &message->state);
}
