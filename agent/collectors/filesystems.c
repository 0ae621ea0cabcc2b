/* Space on what is mounted. mountinfo is read again only when the kernel says that it changed; every mount is asked on
 * the slow lane with a job of its own, so that one that does not answer loses itself and nothing else. The tick gives
 * the answers a moment to come, because numbers of this moment are worth more than those of the last period, and goes
 * on without those that have not come. */
#include "agent/collectors/collectors.h"
#include "agent/collectors/mount_list.h"
#include "agent/collectors/scale.h"
#include "agent/collectors/source.h"
#include "agent/collectors/statfs_text.h"
#include "agent/host/capabilities.h"
#include "agent/label.h"
#include "common/clock.h"
#include "common/log.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FILE_MAX ((size_t)16 << 20)
#define PERIOD_MS 10000
#define WAIT_NS 1000000 /* for answers, at most, and only of mounts that are not known to be late */
#define WAIT_STEP_NS 50000
#define NS_PER_MS 1000000
#define LANE_LATE_MS 30000

struct filesystems {
	struct lane *lane; /* NULL on a recorded host */
	struct root_file mountinfo;
	struct root_file recorded; /* sonde/statfs */
	struct mount_probes probes;
	struct mount_list list;
	bool is_read;
};

/* What has to be said of the section when the rows are done. */
struct findings {
	size_t n, stuck, failed, late;
	const struct mounted *first_stuck, *first_failed;
};

static void destroy(void *self)
{
	struct filesystems *fs = self;
	if (!fs)
		return;
	mount_list_free(&fs->list);
	root_file_close(&fs->mountinfo);
	root_file_close(&fs->recorded);
	if (fs->probes.root_fd >= 0)
		close(fs->probes.root_fd);
	free(fs);
}

/* The first process sees what the host sees; where it may not be looked at, the agent's own mounts have to do. Paths
 * are of the same process as the list, whatever namespace it lives in. */
static int open_live(const struct collector_context *context, struct filesystems *fs, struct collector_state *state)
{
	int r = root_file_open(context->root, "proc/1/mountinfo", FILE_MAX, &fs->mountinfo);
	if (r == 0) {
		fs->probes.root_fd = root_open_path(context->root, "proc/1/root");
		if (fs->probes.root_fd >= 0)
			return 0;
		root_file_close(&fs->mountinfo);
	}
	r = source_open(context, "proc/self/mountinfo", FILE_MAX, &fs->mountinfo, state);
	if (r < 0)
		return r;
	fs->probes.root_fd = root_open_path(context->root, "proc/self/root");
	if (fs->probes.root_fd < 0)
		return collector_fail(state, SONDE__V1__STATE__CODE__CODE_FAILED, fs->probes.root_fd, "cannot_open",
				      "proc/self/root cannot be opened: %s", log_strerror(fs->probes.root_fd));
	return 0;
}

static int open_recorded(const struct collector_context *context, struct filesystems *fs, struct collector_state *state)
{
	int r = root_file_open(context->root, "sonde/statfs", FILE_MAX, &fs->recorded);
	if (r < 0)
		return collector_fail(state, SONDE__V1__STATE__CODE__CODE_UNAVAILABLE, r, "recorded_host",
				      "the recorded tree has no sonde/statfs, and this host's file systems are others: "
				      "record it again with scripts/record-host");
	r = root_file_open(context->root, "proc/1/mountinfo", FILE_MAX, &fs->mountinfo);
	return r == 0 ? 0 : source_open(context, "proc/self/mountinfo", FILE_MAX, &fs->mountinfo, state);
}

static int create(const struct collector_context *context, void **ret_self, struct collector_state *state)
{
	struct filesystems *fs = calloc(1, sizeof(*fs));
	if (!fs)
		return source_no_room(state);
	fs->probes.root_fd = -1;
	int r = context->live ? open_live(context, fs, state) : open_recorded(context, fs, state);
	if (r < 0) {
		destroy(fs);
		return r;
	}
	if (context->live)
		fs->lane = context->lane;
	*ret_self = fs;
	return 0;
}

/* Of one line of the recorded file each mount gets the first that names it: lists are short. */
static int apply_recorded(struct filesystems *fs, struct collector_state *state)
{
	struct statfs_row row;
	char point[4096];
	int r = source_read(&fs->recorded, state);
	if (r < 0)
		return r;
	struct statfs_reader reader = statfs_reader(fs->recorded.text, fs->recorded.len);
	while ((r = statfs_next(&reader, &row)) > 0) {
		if (mount_unescape(row.point, point, sizeof(point)) < 0)
			continue;
		for (size_t i = 0; i < fs->list.n; i++) {
			struct mounted *mount = fs->list.mounts[i];
			if (mount->answered || strcmp(mount->point, point) != 0)
				continue;
			mount->answered = true;
			mount->space = row.space;
			break;
		}
	}
	return r < 0 ? source_malformed(&fs->recorded, r, state) : 0;
}

/* The kernel flags a change of any mount once, to every reader of its own. */
static bool has_changed(const struct filesystems *fs)
{
	struct pollfd mountinfo = {.fd = fs->mountinfo.fd, .events = POLLPRI};
	return poll(&mountinfo, 1, 0) > 0 && (mountinfo.revents & (POLLPRI | POLLERR)) != 0;
}

static int read_mounts(struct filesystems *fs, struct collector_state *state)
{
	struct mount_table table;
	/* Asked for even at the first reading: what changes from now on is a change. */
	bool changed = has_changed(fs);
	if (fs->is_read && !changed)
		return 0;
	fs->is_read = false;
	int r = source_read(&fs->mountinfo, state);
	if (r < 0)
		return r;
	r = mount_table_choose(fs->mountinfo.text, fs->mountinfo.len, MOUNT_LIST_MAX, &table);
	if (r == -ENOMEM)
		return source_no_room(state);
	if (r < 0)
		return source_malformed(&fs->mountinfo, r, state);
	r = mount_list_update(&fs->list, &table, &fs->probes);
	mount_table_free(&table);
	if (r < 0)
		return source_no_room(state);
	if (!fs->lane && (r = apply_recorded(fs, state)) < 0)
		return r;
	fs->is_read = true;
	return 0;
}

static void ask(struct filesystems *fs)
{
	uint64_t until_ns = clock_monotonic_ns() + WAIT_NS;
	(void)mount_list_take(&fs->list);
	mount_list_submit(&fs->list, fs->lane);
	while (mount_list_take(&fs->list) && clock_monotonic_ns() < until_ns)
		(void)nanosleep(&(struct timespec){.tv_nsec = WAIT_STEP_NS}, NULL);
}

static void fill_space(const struct mount_space *space, Sonde__V1__Filesystem *out)
{
	SET(out, size_bytes, scale_times(space->blocks, space->block_bytes));
	SET(out, free_bytes, scale_times(space->free, space->block_bytes));
	SET(out, available_bytes, scale_times(space->available, space->block_bytes));
	/* As df does it. A quota can make free larger than the size. */
	uint64_t used = space->blocks > space->free ? space->blocks - space->free : 0;
	double usable = (double)used + (double)space->available;
	if (usable > 0)
		SET(out, used_ratio, (double)used / usable);
	if (space->inodes == 0)
		return;
	SET(out, inodes, space->inodes);
	SET(out, inodes_free, space->inodes_free);
	uint64_t inodes_used = space->inodes > space->inodes_free ? space->inodes - space->inodes_free : 0;
	SET(out, inodes_used_ratio, (double)inodes_used / (double)space->inodes);
}

static int fill(struct arena *arena, const struct mounted *mount, bool live, uint64_t now_ns,
		Sonde__V1__Filesystem *out)
{
	char number[32];
	int len = snprintf(number, sizeof(number), "%u:%u", mount->major, mount->minor);
	out->mount_point = label_copy(arena, mount->point, strlen(mount->point));
	out->device_number = arena_strndup(arena, number, (size_t)len);
	out->device = label_copy(arena, mount->source, strlen(mount->source));
	out->type = label_copy(arena, mount->type, strlen(mount->type));
	if (!out->mount_point || !out->device_number || !out->device || !out->type)
		return -ENOMEM;
	SET(out, read_only, mount->answered ? mount->space.read_only : mount->read_only);
	if (mount->answered)
		fill_space(&mount->space, out);
	if (!live)
		return 0;
	SET(out, stuck, mounted_is_stuck(mount));
	if (mount->answered)
		SET(out, age_ms, now_ns > mount->answered_ns ? (now_ns - mount->answered_ns) / NS_PER_MS : 0);
	if (mount->error < 0) {
		const char *error = mount->error == -EBUSY ? "too many others do not answer: not asked"
							   : log_strerror(mount->error);
		out->error = label_copy(arena, error, strlen(error));
		if (!out->error)
			return -ENOMEM;
	}
	return 0;
}

/* Nothing to say: hidden by another mount, or a kind of file system that has no space (a FUSE that answers with
 * zeros). */
static bool is_empty(const struct mounted *mount, bool live)
{
	if (mount->error == -EXDEV)
		return true;
	return mount->answered ? mount->space.blocks == 0 : !live;
}

static void look_at(const struct mounted *mount, struct findings *findings)
{
	if (mounted_is_stuck(mount)) {
		findings->first_stuck = findings->stuck++ == 0 ? mount : findings->first_stuck;
		return;
	}
	if (lane_job_state(&mount->probe.job) == LANE_WAITING && lane_job_age_ms(&mount->probe.job) > LANE_LATE_MS)
		findings->late++;
	/* Whose files others may not see is the owner's choice, not a fault. */
	if (mount->error < 0 && mount->error != -EACCES && mount->error != -EPERM && mount->error != -EBUSY)
		findings->first_failed = findings->failed++ == 0 ? mount : findings->first_failed;
}

static void say_state(const struct filesystems *fs, const struct findings *findings, size_t rows_with_numbers,
		      struct collector_state *state)
{
	const enum _Sonde__V1__State__Code degraded = SONDE__V1__STATE__CODE__CODE_DEGRADED;
	char more[32] = "";
	size_t others = (findings->stuck > 0 ? findings->stuck : findings->failed) - 1;
	if ((findings->stuck > 0 || findings->failed > 0) && others > 0)
		(void)snprintf(more, sizeof(more), " and %zu more", others);
	if (findings->stuck > 0)
		(void)collector_fail(state, degraded, 0, "mount_stuck",
				     "%.120s%s: no answer for %llu s; whoever uses it waits too",
				     findings->first_stuck->point, more,
				     (unsigned long long)lane_job_age_ms(&findings->first_stuck->probe.job) / 1000);
	else if (findings->failed > 0)
		(void)collector_fail(state, degraded, 0, "mount_failed", "%.120s%s: %s", findings->first_failed->point,
				     more, log_strerror(findings->first_failed->error));
	else if (findings->late > 0)
		(void)collector_fail(state, degraded, 0, "slow_lane",
				     "%zu file systems wait to be asked, because others keep the agent's slow lane",
				     findings->late);
	else if (fs->list.left_out > 0)
		(void)collector_fail(state, degraded, 0, "too_many_mounts",
				     "%zu file systems beyond the first %d are not shown", fs->list.left_out,
				     MOUNT_LIST_MAX);
	else if (findings->n > 0 && rows_with_numbers == 0)
		(void)collector_fail(state, SONDE__V1__STATE__CODE__CODE_STARTING, 0, "first_reading",
				     "the file systems are being asked for the first time");
}

static int collect(void *self, struct tick *tick, ProtobufCMessage *section)
{
	struct filesystems *fs = self;
	Sonde__V1__Filesystems *out = (Sonde__V1__Filesystems *)section;
	struct findings findings = {.n = 0};
	size_t with_numbers = 0;

	int r = read_mounts(fs, tick->state);
	if (r < 0)
		return r;
	if (fs->lane)
		ask(fs);
	out->filesystems = arena_messages(tick->arena, &sonde__v1__filesystem__descriptor, fs->list.n);
	if (!out->filesystems && fs->list.n > 0)
		return source_no_room(tick->state);
	uint64_t now_ns = clock_monotonic_ns();
	for (size_t i = 0; i < fs->list.n; i++) {
		const struct mounted *mount = fs->list.mounts[i];
		if (is_empty(mount, fs->lane != NULL))
			continue;
		if (fill(tick->arena, mount, fs->lane != NULL, now_ns, out->filesystems[findings.n]) < 0)
			return source_no_room(tick->state);
		findings.n++;
		with_numbers += mount->answered;
		look_at(mount, &findings);
	}
	out->n_filesystems = findings.n;
	if (fs->list.left_out > 0)
		SET(out, left_out, (uint32_t)fs->list.left_out);
	SET(out, stuck, (uint32_t)findings.stuck);
	say_state(fs, &findings, with_numbers, tick->state);
	return 0;
}

const struct collector collector_filesystems = {
	.name = "filesystems",
	.reads = "/proc/1/mountinfo, statfs",
	.needs = "CAP_SYS_PTRACE for the first process's mounts, CAP_DAC_READ_SEARCH for closed directories",
	.capabilities = CAPABILITY_SYS_PTRACE | CAPABILITY_DAC_READ_SEARCH,
	.period_ms = PERIOD_MS,
	.create = create,
	.collect = collect,
	.destroy = destroy,
};
