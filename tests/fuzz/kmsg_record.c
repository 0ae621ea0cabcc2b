#include "agent/events/kmsg_record.h"
#include "agent/events/kernel_pattern.h"
#include "agent/events/oom_watch.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct kmsg_record record;
	struct kernel_mark mark;
	char line[256];
	uint64_t kills;
	(void)!oom_kills_parse(text, size, &kills);
	if (kmsg_record_parse(text, size, &record) < 0)
		return 0;
	if (record.severity > 7 || record.text.text < text || record.text.text + record.text.len > text + size)
		abort();
	size_t len = kmsg_unescape(record.text, line, sizeof(line));
	if (len >= sizeof(line) || line[len] != '\0')
		abort();
	if (kernel_pattern_match(line, len, &mark) &&
	    (mark.subject.text < line || mark.subject.text + mark.subject.len > line + len))
		abort();
	return 0;
}
