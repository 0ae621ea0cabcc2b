/* The name stands between the first '(' and the last ')': it may hold both, spaces and newlines, and everything behind
 * the last ')' is numbers. */
#include "agent/processes/proc_pid_stat.h"

#include "agent/scan.h"

#include <errno.h>
#include <string.h>

/* Fields as the manual numbers them, from the one behind the state on. */
#define FIRST_FIELD 4
#define LAST_FIELD 42

enum {
	FIELD_PARENT = 4,
	FIELD_MINOR_FAULTS = 10,
	FIELD_MAJOR_FAULTS = 12,
	FIELD_USER = 14,
	FIELD_SYSTEM = 15,
	FIELD_THREADS = 20,
	FIELD_START = 22,
	FIELD_RESIDENT = 24,
	FIELD_IO_DELAY = 42,
};

/* The fields that may be negative (the terminal's group, priorities) are passed over unread. */
static uint64_t *place(struct proc_pid_stat *stat, unsigned field, uint64_t *parent, uint64_t *threads)
{
	switch (field) {
	case FIELD_PARENT:
		return parent;
	case FIELD_MINOR_FAULTS:
		return &stat->minor_faults;
	case FIELD_MAJOR_FAULTS:
		return &stat->major_faults;
	case FIELD_USER:
		return &stat->user_ticks;
	case FIELD_SYSTEM:
		return &stat->system_ticks;
	case FIELD_THREADS:
		return threads;
	case FIELD_START:
		return &stat->start_ticks;
	case FIELD_RESIDENT:
		return &stat->resident_pages;
	case FIELD_IO_DELAY:
		return &stat->io_delay_ticks;
	default:
		return NULL;
	}
}

static int parse_numbers(struct scan *rest, struct proc_pid_stat *stat)
{
	uint64_t parent = 0, threads = 0;
	for (unsigned field = FIRST_FIELD; field <= LAST_FIELD; field++) {
		struct word word;
		int r = scan_word(rest, &word);
		uint64_t *number = place(stat, field, &parent, &threads);
		if (r == 0 && number)
			r = word_u64(word, number);
		if (r < 0)
			return r;
	}
	if (parent > UINT32_MAX || threads > UINT32_MAX)
		return -EPROTO;
	stat->parent_pid = (uint32_t)parent;
	stat->threads = (uint32_t)threads;
	return 0;
}

/* 612 (tmux: (server)) S 1 612 612 0 -1 4194624 7152 9 0 2 183 95 0 0 20 0 1 0 2391 8298496 1203 ... 17 1 0 0 3 0 0 ...
 */
int proc_pid_stat_parse(const char *text, size_t len, struct proc_pid_stat *ret)
{
	struct proc_pid_stat stat = {.pid = 0};
	if (len > 0 && text[len - 1] == '\n')
		len--;
	const char *open = memchr(text, '(', len), *close = memrchr(text, ')', len);
	if (!open || !close || close < open || close - open - 1 > PROC_PID_STAT_COMM_MAX)
		return -EPROTO;
	stat.comm = open + 1;
	stat.comm_len = (size_t)(close - open - 1);

	struct scan before = scan_text(text, (size_t)(open - text));
	struct scan rest = {close + 1, text + len};
	uint64_t pid;
	struct word state;
	if (scan_u64(&before, &pid) < 0 || pid == 0 || pid > UINT32_MAX || !scan_at_end(&before) ||
	    memchr(stat.comm, '\0', stat.comm_len))
		return -EPROTO;
	stat.pid = (uint32_t)pid;
	if (scan_word(&rest, &state) < 0 || state.len != 1 || state.text[0] < 'A' || state.text[0] > 'z')
		return -EPROTO;
	stat.state = state.text[0];
	int r = parse_numbers(&rest, &stat);
	if (r < 0)
		return r;
	*ret = stat;
	return 0;
}
