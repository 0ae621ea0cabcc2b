/* Strict on purpose: passwords come through here, and a body that two parsers could read in two ways is refused. */
#include "backend/web/urlencoded.h"

#include "common/wire.h"

#include <errno.h>
#include <string.h>

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int urlencoded_decode(const char *text, size_t len, char *out, size_t *ret_len)
{
	size_t n = 0;
	for (size_t i = 0; i < len; i++) {
		char c = text[i];
		if (c == '+') {
			c = ' ';
		} else if (c == '%') {
			if (len - i < 3)
				return -EPROTO;
			int high = hex_digit(text[i + 1]), low = hex_digit(text[i + 2]);
			if (high < 0 || low < 0)
				return -EPROTO;
			c = (char)(high << 4 | low);
			i += 2;
		}
		if (c == '\0')
			return -EPROTO;
		out[n++] = c;
	}
	if (!wire_utf8((const uint8_t *)out, n))
		return -EPROTO;
	out[n] = '\0';
	*ret_len = n;
	return 0;
}

/* True when the raw name (a few bytes at most three times as long as `name`) decodes to `name`. */
static int is_field(const char *raw, size_t len, const char *name, size_t name_len)
{
	char decoded[64 * 3 + 1];
	size_t n;
	if (len > 64 * 3 || len < name_len)
		return 0;
	int r = urlencoded_decode(raw, len, decoded, &n);
	if (r < 0)
		return r;
	return n == name_len && memcmp(decoded, name, n) == 0;
}

int urlencoded_field(const char *body, size_t len, const char *name, char *ret, size_t size)
{
	const char *found = NULL, *p = body, *end = len ? body + len : body;
	size_t found_len = 0, name_len = strlen(name);
	while (p < end) {
		const char *amp = memchr(p, '&', (size_t)(end - p));
		const char *stop = amp ? amp : end;
		const char *equals = memchr(p, '=', (size_t)(stop - p));
		const char *name_end = equals ? equals : stop;
		int r = is_field(p, (size_t)(name_end - p), name, name_len);
		if (r < 0)
			return r;
		if (r) {
			if (found)
				return -EPROTO;
			found = equals ? equals + 1 : stop;
			found_len = (size_t)(stop - found);
		}
		p = stop + 1;
	}
	if (!found)
		return -ENOENT;
	char decoded[4096];
	size_t n;
	if (found_len >= sizeof(decoded))
		return -EMSGSIZE;
	int r = urlencoded_decode(found, found_len, decoded, &n);
	if (r == 0 && n >= size)
		r = -EMSGSIZE;
	if (r == 0)
		memcpy(ret, decoded, n + 1);
	explicit_bzero(decoded, sizeof(decoded)); /* it may be a password */
	return r;
}
