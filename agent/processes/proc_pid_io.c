#include "agent/processes/proc_pid_io.h"

#include "agent/scan.h"

#include <errno.h>

static const char *const names[] = {"read_bytes", "write_bytes", "cancelled_write_bytes"};

#define N_NAMES (sizeof(names) / sizeof(names[0]))

/* write_bytes: 323932160 */
int proc_pid_io_parse(const char *text, size_t len, struct proc_pid_io *ret)
{
	struct scan rest = scan_text(text, len), line;
	uint64_t values[N_NAMES];
	unsigned found = 0;
	int r;
	while ((r = scan_line(&rest, &line)) > 0) {
		struct word name;
		uint64_t value;
		if (scan_until(&line, ':', &name) < 0 || scan_u64(&line, &value) < 0)
			return -EPROTO;
		for (size_t i = 0; i < N_NAMES; i++) {
			if (!word_is(name, names[i]))
				continue;
			if (found & 1u << i)
				return -EPROTO;
			found |= 1u << i;
			values[i] = value;
		}
	}
	if (r < 0 || found != (1u << N_NAMES) - 1)
		return -EPROTO;
	*ret = (struct proc_pid_io){
		.read_bytes = values[0], .write_bytes = values[1], .cancelled_write_bytes = values[2]};
	return 0;
}
