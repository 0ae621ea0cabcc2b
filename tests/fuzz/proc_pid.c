/* The files of one process; the first byte says which. */
#include "agent/processes/proc_pid_cgroup.h"
#include "agent/processes/proc_pid_io.h"
#include "agent/processes/proc_pid_stat.h"
#include "agent/processes/proc_pid_status.h"
#include "agent/processes/resident.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void within(const char *text, size_t size, const char *part, size_t len)
{
	if (part && (part < text || part + len > text + size))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	const char *text = (const char *)data + 1;
	struct proc_pid_stat stat;
	struct proc_pid_io io;
	struct proc_pid_cgroup cgroup;
	uint32_t user;
	uint64_t pages;
	size--;
	switch (data[0]) {
	case 's':
		if (proc_pid_stat_parse(text, size, &stat) == 0)
			within(text, size, stat.comm, stat.comm_len);
		break;
	case 'i':
		(void)!proc_pid_io_parse(text, size, &io);
		break;
	case 'u':
		(void)!proc_pid_status_user(text, size, &user);
		break;
	case 'm':
		(void)!resident_parse(text, size, &pages);
		break;
	default:
		if (proc_pid_cgroup_parse(text, size, &cgroup) < 0)
			break;
		for (size_t i = 0; i < PID_CGROUP_HIERARCHIES; i++)
			within(text, size, cgroup.paths[i].text, cgroup.paths[i].len);
	}
	return 0;
}
