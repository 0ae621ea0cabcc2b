#include "agent/processes/command_line.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The secret stands behind a telling name: whatever comes before and after, it does not come out. */
static void hides(const char *text, size_t size)
{
	static const char secret[] = "\0--password=hunter2";
	char out[16384];
	if (size > 2048 || memmem(text, size, "hunter2", 7))
		return;
	char raw[2048 + sizeof(secret)];
	memcpy(raw, text, size);
	memcpy(raw + size, secret, sizeof(secret));
	(void)command_line_scrub(raw, size + sizeof(secret), out, sizeof(out));
	if (strstr(out, "=hunter2"))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	char shown[COMMAND_LINE_SIZE], out[32];
	size_t n = command_line_text(text, size, size % 2, COMMAND_LINE_SCRUBBED, shown);
	if (n >= sizeof(shown) || strlen(shown) != n)
		abort();
	(void)command_line_text(text, size, false, COMMAND_LINE_FULL, shown);
	n = command_line_scrub(text, size, out, sizeof(out));
	if (n >= sizeof(out) || strlen(out) != n)
		abort();
	hides(text, size);
	return 0;
}
