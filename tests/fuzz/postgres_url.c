/* --store postgresql://...: what is accepted has its parts, is accepted again without our parameter, and its password
 * is redacted; what is not accepted has a complaint. */
#include "backend/store/postgres_url.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct postgres_url url, again;
	char *error = NULL, *text = malloc(size + 1);
	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	if (postgres_url_parse(text, &url, &error) < 0) {
		if (!error)
			abort();
		free(error);
		free(text);
		return 0;
	}
	if (!url.conninfo || !url.shown || (url.password && url.password[0] == '\0'))
		abort();
	if (postgres_url_parse(url.conninfo, &again, &error) < 0 || again.citus)
		abort();
	postgres_url_free(&again);
	postgres_url_redact(&url, text);
	if (url.password && strcmp(url.password, "*") != 0 && !strchr(url.password, '*') && strstr(text, url.password))
		abort();
	postgres_url_free(&url);
	free(text);
	return 0;
}
