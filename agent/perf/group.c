#include "agent/perf/group.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define HYBRID_TYPE_SHIFT 32 /* PERF_PMU_TYPE_SHIFT, 5.13 */

/* Generic events carry the PMU's type above their code; raw ones are the PMU's own. */
static void choose_pmu(struct perf_event_attr *attr, uint32_t hybrid)
{
	if (hybrid == 0)
		return;
	if (attr->type == PERF_TYPE_HARDWARE || attr->type == PERF_TYPE_HW_CACHE)
		attr->config |= (uint64_t)hybrid << HYBRID_TYPE_SHIFT;
	else if (attr->type == PERF_TYPE_RAW)
		attr->type = hybrid;
}

static int open_event(const struct perf_event *event, const struct perf_target *target, int leader, bool pinned)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = event->code.type,
		.config = event->code.config[0],
		.config1 = event->code.config[1],
		.config2 = event->code.config[2],
		.read_format = PERF_FORMAT_GROUP | PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING,
		.disabled = leader < 0,
		.pinned = leader < 0 && pinned,
	};
	if (event->error < 0)
		return event->error;
	choose_pmu(&attr, target->hybrid);
	bool own = target->cpu < 0;
	attr.exclude_kernel = attr.exclude_hv = own;
	unsigned long flags = PERF_FLAG_FD_CLOEXEC | (target->cgroup >= 0 ? PERF_FLAG_PID_CGROUP : 0);
	long fd = syscall(SYS_perf_event_open, &attr, own ? 0 : target->cgroup, target->cpu, leader, flags);
	return fd < 0 ? -errno : (int)fd;
}

int perf_group_open(struct perf_group *group, const struct perf_event_set *set, const uint8_t events[], size_t n,
		    const struct perf_target *target, bool pinned, int errors[])
{
	struct perf_group opened = {.n = 0, .pinned = pinned};
	int error = -EINVAL;
	for (size_t i = 0; i < n && opened.n < PERF_MAX_IN_GROUP; i++) {
		int leader = opened.n > 0 ? opened.fds[0] : -1;
		int fd = open_event(&set->events[events[i]], target, leader, pinned);
		errors[events[i]] = fd < 0 ? fd : 0;
		if (fd < 0) {
			error = i == 0 ? fd : error;
			continue;
		}
		opened.events[opened.n] = events[i];
		opened.fds[opened.n++] = fd;
	}
	if (opened.n == 0)
		return error;
	if (ioctl(opened.fds[0], PERF_EVENT_IOC_ENABLE, PERF_IOC_FLAG_GROUP) < 0) {
		error = -errno;
		perf_group_close(&opened);
		return error;
	}
	*group = opened;
	return 0;
}

void perf_group_close(struct perf_group *group)
{
	/* Members first: closing a leader makes each of them a group of its own. */
	while (group->n > 0)
		close(group->fds[--group->n]);
}

int perf_group_read(const struct perf_group *group, struct perf_reading readings[])
{
	struct {
		uint64_t n;
		uint64_t enabled_ns;
		uint64_t running_ns;
		uint64_t values[PERF_MAX_IN_GROUP];
	} data;
	ssize_t len = read(group->fds[0], &data, sizeof(data));
	if (len < 0)
		return -errno;
	if (len == 0)
		return group->pinned ? -EAGAIN : -ENODEV;
	if ((size_t)len != (3 + group->n) * sizeof(uint64_t) || data.n != group->n)
		return -EPROTO;
	for (size_t i = 0; i < group->n; i++)
		readings[i] = (struct perf_reading){data.values[i], data.enabled_ns, data.running_ns};
	return 0;
}
