#include "agent/processes/proc_pid_cgroup.h"

#include <errno.h>
#include <string.h>

static const char *const controllers[PID_CGROUP_HIERARCHIES] = {
	[PID_CGROUP_MEMORY] = "memory",
	[PID_CGROUP_CPUACCT] = "cpuacct",
	[PID_CGROUP_CPU] = "cpu",
};

static int set_path(struct proc_pid_cgroup *cgroup, size_t hierarchy, struct word path)
{
	if (cgroup->paths[hierarchy].text)
		return -EPROTO;
	cgroup->paths[hierarchy] = path;
	return 0;
}

static int set_controllers(struct proc_pid_cgroup *cgroup, struct word list, struct word path)
{
	const char *p = list.text, *end = list.text + list.len;
	while (p < end) {
		const char *comma = memchr(p, ',', (size_t)(end - p));
		struct word name = {.text = p, .len = (size_t)((comma ? comma : end) - p)};
		for (size_t i = PID_CGROUP_UNIFIED + 1; i < PID_CGROUP_HIERARCHIES; i++) {
			int r = word_is(name, controllers[i]) ? set_path(cgroup, i, path) : 0;
			if (r < 0)
				return r;
		}
		p = comma ? comma + 1 : end;
	}
	return 0;
}

/* 4:cpu,cpuacct:/system.slice/ssh.service
 * 0::/user.slice/user-1000.slice
 * A path may hold colons; it holds no newline, which the kernel writes as \012. */
int proc_pid_cgroup_parse(const char *text, size_t len, struct proc_pid_cgroup *ret)
{
	struct proc_pid_cgroup cgroup = {.paths = {{.text = NULL}}};
	struct scan rest = scan_text(text, len), line;
	int r;
	while ((r = scan_line(&rest, &line)) > 0) {
		struct word number, list;
		uint64_t hierarchy;
		if (scan_until(&line, ':', &number) < 0 || word_u64(number, &hierarchy) < 0 ||
		    scan_until(&line, ':', &list) < 0 || line.p == line.end || *line.p != '/')
			return -EPROTO;
		struct word path = {.text = line.p, .len = (size_t)(line.end - line.p)};
		if (hierarchy == 0 && list.len == 0)
			r = set_path(&cgroup, PID_CGROUP_UNIFIED, path);
		else
			r = set_controllers(&cgroup, list, path);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	*ret = cgroup;
	return 0;
}
