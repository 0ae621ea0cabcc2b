/* The body of a login form, and request headers. */
#include "backend/web/headers.h"
#include "backend/web/urlencoded.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char value[64];
	(void)!urlencoded_field((const char *)data, size, "username", value, sizeof(value));
	char *text = strndup((const char *)data, size);
	if (!text)
		return 0;
	uint64_t length;
	(void)!headers_cookie(text, "sonde_token", value, sizeof(value));
	(void)headers_bearer(text);
	(void)headers_same_origin(text, "127.0.0.1:8000");
	(void)headers_same_origin("http://127.0.0.1:8000", text);
	(void)headers_etag_matches(text, "\"a\"");
	(void)headers_accepts(text, "gzip");
	(void)headers_list_has(text, "sonde.v1");
	(void)!headers_length(text, &length);
	free(text);
	return 0;
}
