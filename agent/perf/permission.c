#include "agent/perf/permission.h"

#include <linux/capability.h>

#define STATUS_MAX ((size_t)16384)

static void read_status(const struct root *root, struct perf_permission *permission)
{
	struct root_file status;
	uint64_t mask = 0;
	if (root_file_open(root, "proc/thread-self/status", STATUS_MAX, &status) < 0)
		return;
	if (root_file_read(&status) == 0) {
		if (perf_capabilities_parse(status.text, status.len, &mask) < 0)
			mask = 0;
		permission->seccomp = perf_seccomp_parse(status.text, status.len);
	}
	root_file_close(&status);
	permission->has_capability = mask & ((uint64_t)1 << CAP_PERFMON | (uint64_t)1 << CAP_SYS_ADMIN);
}

struct perf_permission perf_permission_read(const struct root *root)
{
	struct perf_permission permission = {.paranoid = 0};
	struct root_file map;
	char text[128];
	int len = root_read_text(root, "proc/sys/kernel/perf_event_paranoid", text, sizeof(text));
	permission.has_paranoid = len > 0 && perf_paranoid_parse(text, (size_t)len, &permission.paranoid) == 0;
	read_status(root, &permission);
	if (root_file_open(root, "proc/self/uid_map", STATUS_MAX, &map) == 0) {
		permission.user_namespace = root_file_read(&map) == 0 && perf_in_user_namespace(map.text, map.len);
		root_file_close(&map);
	}
	return permission;
}
