#include "common/encoding.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

void encoding_hex(const uint8_t *data, size_t len, char *out)
{
	static const char digits[] = "0123456789abcdef";
	for (size_t i = 0; i < len; i++) {
		out[2 * i] = digits[data[i] >> 4];
		out[2 * i + 1] = digits[data[i] & 15];
	}
	out[2 * len] = '\0';
}

static int nibble(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int encoding_unhex(const char *text, size_t text_len, uint8_t *ret, size_t len)
{
	if (text_len != 2 * len)
		return -EPROTO;
	for (size_t i = 0; i < text_len; i++) {
		if (nibble(text[i]) < 0)
			return -EPROTO;
	}
	for (size_t i = 0; i < len; i++)
		ret[i] = (uint8_t)(nibble(text[2 * i]) << 4 | nibble(text[2 * i + 1]));
	return 0;
}

int encoding_uuid_parse(const char *text, size_t text_len, uint8_t ret[16])
{
	char digits[32];
	size_t n = 0;
	while (text_len > 0 && isspace((unsigned char)text[text_len - 1]))
		text_len--;
	if (text_len != UUID_TEXT_SIZE - 1)
		return -EPROTO;
	for (size_t i = 0; i < text_len; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;
		if (dash != (text[i] == '-'))
			return -EPROTO;
		if (!dash)
			digits[n++] = text[i];
	}
	return encoding_unhex(digits, sizeof(digits), ret, 16);
}

void encoding_uuid_format(const uint8_t uuid[16], char out[UUID_TEXT_SIZE])
{
	char hex[33];
	size_t n = 0;
	encoding_hex(uuid, 16, hex);
	for (size_t i = 0; i < 32; i++) {
		if (i == 8 || i == 12 || i == 16 || i == 20)
			out[n++] = '-';
		out[n++] = hex[i];
	}
	out[n] = '\0';
}

void encoding_uuid_random(uint8_t ret[16])
{
	encoding_random(ret, 16);
	ret[6] = (uint8_t)((ret[6] & 0x0f) | 0x40);
	ret[8] = (uint8_t)((ret[8] & 0x3f) | 0x80);
}

size_t encoding_base64(const void *data, size_t len, char *out)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const uint8_t *p = data;
	size_t n = 0;
	uint32_t bits = 0;
	unsigned have = 0;
	for (size_t i = 0; i < len; i++) {
		bits = bits << 8 | p[i];
		for (have += 8; have >= 6; have -= 6)
			out[n++] = digits[bits >> (have - 6) & 63];
	}
	if (have > 0)
		out[n++] = digits[bits << (6 - have) & 63];
	out[n] = '\0';
	return n;
}

static int base64_digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int encoding_unbase64(const char *text, size_t text_len, uint8_t *ret, size_t *ret_len)
{
	size_t digits = text_len, n = 0;
	if (text_len % 4 == 0) {
		for (int i = 0; i < 2 && digits > 0 && text[digits - 1] == '='; i++)
			digits--;
	}
	if (digits % 4 == 1)
		return -EPROTO;
	uint32_t bits = 0;
	unsigned have = 0;
	for (size_t i = 0; i < digits; i++) {
		int digit = base64_digit(text[i]);
		if (digit < 0)
			return -EPROTO;
		bits = bits << 6 | (uint32_t)digit;
		have += 6;
		if (have >= 8) {
			have -= 8;
			ret[n++] = (uint8_t)(bits >> have);
		}
	}
	*ret_len = n;
	return 0;
}

void encoding_random(void *ret, size_t len)
{
	uint8_t *p = ret;
	while (len > 0) {
		ssize_t n = getrandom(p, len, 0);
		if (n < 0) {
			if (errno == EINTR)
				continue;
			abort(); /* no source of randomness: identities and keys cannot be made */
		}
		p += n;
		len -= (size_t)n;
	}
}
