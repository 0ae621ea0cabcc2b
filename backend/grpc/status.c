/* What a peer may write into a header is parsed by hand: no locale, no sign, no white space, no overflow. */
#include "backend/grpc/status.h"

#include <errno.h>
#include <string.h>

int grpc_timeout_parse(const char *text, size_t len, uint64_t *ret_ns)
{
	if (len < 2 || len > 9)
		return -EPROTO;
	uint64_t value = 0;
	for (size_t i = 0; i < len - 1; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -EPROTO;
		value = value * 10 + (uint64_t)(text[i] - '0');
	}
	uint64_t unit;
	switch (text[len - 1]) {
	case 'H':
		unit = 3600000000000;
		break;
	case 'M':
		unit = 60000000000;
		break;
	case 'S':
		unit = 1000000000;
		break;
	case 'm':
		unit = 1000000;
		break;
	case 'u':
		unit = 1000;
		break;
	case 'n':
		unit = 1;
		break;
	default:
		return -EPROTO;
	}
	/* 99999999 hours are 3.6e20 ns: more than fits, and more than anybody waits. */
	if (__builtin_mul_overflow(value, unit, &value))
		value = UINT64_MAX;
	*ret_ns = value;
	return 0;
}

static size_t cut(const char *text, size_t len)
{
	if (len <= GRPC_MESSAGE_MAX)
		return len;
	size_t end = GRPC_MESSAGE_MAX;
	for (unsigned back = 0; back < 3 && ((unsigned char)text[end] & 0xC0) == 0x80; back++)
		end--;
	return end;
}

size_t grpc_message_encode(const char *text, size_t len, char out[GRPC_MESSAGE_ENCODED_SIZE])
{
	static const char digits[] = "0123456789ABCDEF";
	size_t n = 0;
	len = cut(text, len);
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];
		if (c >= 0x20 && c <= 0x7e && c != '%') {
			out[n++] = (char)c;
		} else {
			out[n++] = '%';
			out[n++] = digits[c >> 4];
			out[n++] = digits[c & 15];
		}
	}
	/* HTTP/2 refuses a field value that begins or ends with white space. */
	if (n > 0 && out[n - 1] == ' ' && n + 2 < GRPC_MESSAGE_ENCODED_SIZE) {
		memcpy(out + n - 1, "%20", 3);
		n += 2;
	}
	if (n > 0 && out[0] == ' ' && n + 2 < GRPC_MESSAGE_ENCODED_SIZE) {
		memmove(out + 3, out + 1, n - 1);
		memcpy(out, "%20", 3);
		n += 2;
	}
	out[n] = '\0';
	return n;
}

bool grpc_content_type_ok(const char *text)
{
	static const char type[] = "application/grpc";
	size_t n = sizeof(type) - 1;
	return strncmp(text, type, n) == 0 && (text[n] == '\0' || text[n] == '+' || text[n] == ';');
}

const char *grpc_status_text(unsigned status)
{
	static const char *const texts[] = {"0", "1",  "2",  "3",  "4",	 "5",  "6",  "7", "8",
					    "9", "10", "11", "12", "13", "14", "15", "16"};
	return status < sizeof(texts) / sizeof(texts[0]) ? texts[status] : "2";
}
