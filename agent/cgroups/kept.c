/* Most cgroups have done no I/O: their rows stand in a block of its own, which grows when a device comes. */
#include "agent/cgroups/kept.h"

#include "agent/cgroups/files.h"
#include "agent/collectors/proc_diskstats.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NAME_SIZE (DISKSTATS_NAME_MAX + 1)

struct cgroup_kept_io {
	Sonde__V1__CgroupIo row;
	char device[NAME_SIZE];
};

void cgroup_kept_reset(struct cgroup_kept *kept)
{
	*kept = (struct cgroup_kept){.limits = kept->limits, .io = kept->io, .io_room = kept->io_room};
}

void cgroup_kept_free(struct cgroup_kept *kept)
{
	free(kept->io);
}

static int keep_io(struct cgroup_kept *kept, const Sonde__V1__Cgroup *row, uint64_t left_out)
{
	_Static_assert(CGROUP_IO_MAX <= UINT8_MAX, "n_io counts them");
	if (row->n_io > kept->io_room) {
		struct cgroup_kept_io *io = realloc(kept->io, row->n_io * sizeof(*io));
		if (!io)
			return -ENOMEM;
		kept->io = io;
		kept->io_room = (uint8_t)row->n_io;
	}
	for (size_t i = 0; i < row->n_io; i++) {
		kept->io[i].row = *row->io[i];
		size_t len = strnlen(row->io[i]->device, NAME_SIZE - 1);
		memcpy(kept->io[i].device, row->io[i]->device, len);
		kept->io[i].device[len] = '\0';
	}
	kept->n_io = (uint8_t)row->n_io;
	kept->io_left_out = (uint32_t)left_out;
	return 0;
}

/* The names are borrowed: a row lives as long as the tick, and what is kept until the next. */
static int say_io(const struct cgroup_kept *kept, struct arena *arena, Sonde__V1__Cgroup *row)
{
	row->io = arena_messages(arena, &sonde__v1__cgroup_io__descriptor, kept->n_io);
	if (!row->io)
		return -ENOMEM;
	for (size_t i = 0; i < kept->n_io; i++) {
		*row->io[i] = kept->io[i].row;
		row->io[i]->device = kept->io[i].device;
	}
	row->n_io = kept->n_io;
	return 0;
}

int cgroup_kept_exchange(struct cgroup_kept *kept, struct arena *arena, Sonde__V1__Cgroup *row, uint64_t *io_left_out)
{
#define EXCHANGE(field)                                                                                                \
	do {                                                                                                           \
		if (row->has_##field) {                                                                                \
			kept->has_##field = true;                                                                      \
			kept->field = row->field;                                                                      \
		} else if (kept->has_##field) {                                                                        \
			row->has_##field = true;                                                                       \
			row->field = kept->field;                                                                      \
		}                                                                                                      \
	} while (0)
	EXCHANGE(memory_bytes);
	EXCHANGE(tasks);
	EXCHANGE(cpu_periods);
	EXCHANGE(cpu_throttled_periods);
	EXCHANGE(cpu_throttled_us);
#undef EXCHANGE
	if (row->n_io > 0)
		return keep_io(kept, row, *io_left_out);
	if (kept->n_io == 0)
		return 0;
	*io_left_out = kept->io_left_out;
	return say_io(kept, arena, row);
}

#define COPY(to, from, field)                                                                                          \
	do {                                                                                                           \
		(to)->has_##field = (from)->has_##field;                                                               \
		(to)->field = (from)->field;                                                                           \
	} while (0)
#define COPY_LIMITS(to, from)                                                                                          \
	do {                                                                                                           \
		COPY(to, from, memory_limit_bytes);                                                                    \
		COPY(to, from, memory_high_bytes);                                                                     \
		COPY(to, from, tasks_limit);                                                                           \
		COPY(to, from, cpu_limit_ratio);                                                                       \
	} while (0)

void cgroup_kept_take_limits(struct cgroup_kept *kept, const Sonde__V1__Cgroup *row)
{
	COPY_LIMITS(&kept->limits, row);
}

void cgroup_kept_say_limits(const struct cgroup_kept *kept, Sonde__V1__Cgroup *row)
{
	COPY_LIMITS(row, &kept->limits);
}
