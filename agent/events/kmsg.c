/* Anybody who may write to /dev/kmsg can write what looks like an I/O error; only the kernel writes with facility 0. */
#include "agent/events/kmsg.h"

#include "agent/events/kernel_pattern.h"
#include "agent/events/kmsg_record.h"
#include "agent/label.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define LINE_SIZE 1024 /* of a message, for matching */

void kmsg_init(struct kmsg *kmsg, int fd)
{
	memset(kmsg, 0, sizeof(*kmsg));
	kmsg->fd = fd;
}

int kmsg_open(const struct root *root, struct kmsg *kmsg)
{
	int fd = openat(root->dirfd, "dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return -errno;
	if (lseek(fd, 0, SEEK_END) < 0) {
		int r = -errno;
		close(fd);
		return r;
	}
	kmsg_init(kmsg, fd);
	return 0;
}

void kmsg_close(struct kmsg *kmsg)
{
	if (!kmsg || kmsg->fd < 0)
		return;
	close(kmsg->fd);
	kmsg->fd = -1;
}

/* The log's clock runs free of the others: near enough for a moment within the tick, which bounds it. */
static uint64_t boottime_of(uint64_t timestamp_us, uint64_t since_us, const struct clock_reading *now)
{
	uint64_t us = timestamp_us + (now->boottime_us - now->monotonic_us);
	if (us < since_us)
		us = since_us;
	return us > now->boottime_us ? now->boottime_us : us;
}

static void copy_text(const char *from, size_t len, char *to, size_t size)
{
	if (len >= size) {
		/* Not in the middle of a character. */
		for (len = size - 1; len > 0 && ((unsigned char)from[len] & 0xc0) == 0x80; len--)
			;
	}
	memcpy(to, from, len);
	to[len] = '\0';
	label_clean(to, len);
}

static void take_record(const struct kmsg_record *record, uint64_t since_us, const struct clock_reading *now,
			struct event_log *log)
{
	char line[LINE_SIZE];
	struct kernel_mark mark;
	if (record->facility != 0)
		return;
	size_t len = kmsg_unescape(record->text, line, sizeof(line));
	if (!kernel_pattern_match(line, len, &mark))
		return;
	struct event event = {
		.kind = mark.kind,
		.severity = mark.severity,
		.boottime_us = boottime_of(record->timestamp_us, since_us, now),
		.occurrences = 1,
	};
	event.wall_us = now->wall_us - (int64_t)(now->boottime_us - event.boottime_us);
	copy_text(mark.subject.text, mark.subject.len, event.subject, sizeof(event.subject));
	copy_text(line, len, event.message, sizeof(event.message));
	event_log_add(log, &event);
}

/* Sequence numbers have no gaps but where records were overwritten. */
static void count(struct kmsg *kmsg, uint64_t sequence)
{
	if (kmsg->begun && sequence > kmsg->next_sequence)
		kmsg->lost += sequence - kmsg->next_sequence;
	kmsg->begun = true;
	kmsg->next_sequence = sequence + 1;
	kmsg->records++;
}

int kmsg_take(struct kmsg *kmsg, uint64_t since_us, const struct clock_reading *now, struct event_log *log)
{
	for (int i = 0; i < KMSG_MAX_RECORDS; i++) {
		struct kmsg_record record;
		ssize_t n = read(kmsg->fd, kmsg->text, sizeof(kmsg->text));
		if (n < 0 && errno == EAGAIN)
			return 0;
		/* EPIPE: what came next was overwritten, and reading goes on with the oldest there is. EINVAL: a
		 * record that does not fit, and is passed over. */
		if (n < 0 && (errno == EPIPE || errno == EINVAL || errno == EINTR)) {
			if (errno == EPIPE && !kmsg->begun)
				kmsg->lost++;
			continue;
		}
		if (n < 0)
			return -errno;
		if (n == 0)
			return 0;
		if (kmsg_record_parse(kmsg->text, (size_t)n, &record) < 0)
			continue;
		count(kmsg, record.sequence);
		take_record(&record, since_us, now, log);
	}
	return 0;
}
