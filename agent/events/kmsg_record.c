#include "agent/events/kmsg_record.h"

#include <errno.h>
#include <string.h>

/* 6,339,5140900,-,caller=T1;NET: Registered PF_INET6 protocol family
 * What may stand between the flag and the semicolon is for later kernels to say. */
int kmsg_record_parse(const char *text, size_t len, struct kmsg_record *ret)
{
	struct scan rest = scan_text(text, len);
	struct scan prefix;
	struct word head, priority, sequence, timestamp;
	uint64_t number;
	struct kmsg_record record;
	if (scan_until(&rest, ';', &head) < 0)
		return -EPROTO;
	prefix = scan_text(head.text, head.len);
	if (scan_until(&prefix, ',', &priority) < 0 || scan_until(&prefix, ',', &sequence) < 0 ||
	    scan_until(&prefix, ',', &timestamp) < 0 || prefix.p == prefix.end)
		return -EPROTO;
	if (word_u64(priority, &number) < 0 || number > UINT32_MAX || word_u64(sequence, &record.sequence) < 0 ||
	    word_u64(timestamp, &record.timestamp_us) < 0)
		return -EPROTO;
	record.severity = (uint32_t)number & 7;
	record.facility = (uint32_t)number >> 3;
	const char *newline = rest.p < rest.end ? memchr(rest.p, '\n', (size_t)(rest.end - rest.p)) : NULL;
	if (!newline)
		return -EPROTO;
	record.text = (struct word){rest.p, (size_t)(newline - rest.p)};
	*ret = record;
	return 0;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

size_t kmsg_unescape(struct word text, char *ret, size_t size)
{
	size_t n = 0;
	for (size_t i = 0; i < text.len && n + 1 < size; i++) {
		char c = text.text[i];
		if (c == '\\' && i + 3 < text.len && text.text[i + 1] == 'x') {
			int high = hex_digit(text.text[i + 2]), low = hex_digit(text.text[i + 3]);
			if (high >= 0 && low >= 0) {
				c = (char)(high << 4 | low);
				i += 3;
			}
		}
		ret[n++] = c;
	}
	ret[n] = '\0';
	return n;
}
