#include "agent/sensors/sys_value.h"

#include <errno.h>
#include <string.h>

int sys_value_parse(const char *text, size_t len, int64_t *ret)
{
	while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == ' '))
		len--;
	bool negative = len > 0 && text[0] == '-';
	uint64_t value;
	if (word_u64((struct word){text + negative, len - negative}, &value) < 0 || value > INT64_MAX)
		return -EPROTO;
	*ret = negative ? -(int64_t)value : (int64_t)value;
	return 0;
}

/* DRIVER=amdgpu
 * PCI_ID=1002:73BF */
int sys_uevent_find(const char *text, size_t len, const char *name, struct word *ret)
{
	struct scan rest = scan_text(text, len), line;
	size_t name_len = strlen(name);
	while (rest.p < rest.end) {
		/* The last line may have lost its newline on the way. */
		if (scan_line(&rest, &line) <= 0) {
			line = rest;
			rest.p = rest.end;
		}
		size_t line_len = (size_t)(line.end - line.p);
		if (line_len <= name_len || memcmp(line.p, name, name_len) != 0 || line.p[name_len] != '=')
			continue;
		*ret = (struct word){line.p + name_len + 1, line_len - name_len - 1};
		return 0;
	}
	return -ENOENT;
}
