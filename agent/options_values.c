/* What people write in options: a time with its unit, a size, an address. Pure functions; settings from the backend go
 * through their own checks on numbers. */
#include "agent/options.h"

#include "agent/scan.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#define MIN_INTERVAL_MS 100
#define MAX_INTERVAL_MS 3600000

int options_parse_interval(const char *text, uint32_t *ret_ms)
{
	static const struct {
		const char *unit;
		uint64_t ms;
	} units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
	size_t digits = strspn(text, "0123456789");
	uint64_t number;
	if (word_u64((struct word){text, digits}, &number) < 0)
		return -EINVAL;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(text + digits, units[i].unit) != 0)
			continue;
		uint64_t ms;
		if (__builtin_mul_overflow(number, units[i].ms, &ms) || ms < MIN_INTERVAL_MS || ms > MAX_INTERVAL_MS)
			return -EINVAL;
		*ret_ms = (uint32_t)ms;
		return 0;
	}
	return -EINVAL;
}

int options_parse_bytes(const char *text, uint64_t *ret)
{
	static const struct {
		const char *unit;
		uint64_t bytes;
	} units[] = {{"", 1}, {"KiB", 1u << 10}, {"MiB", 1u << 20}, {"GiB", 1u << 30}};
	size_t digits = strspn(text, "0123456789");
	uint64_t number;
	if (word_u64((struct word){text, digits}, &number) < 0)
		return -EINVAL;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(text + digits, units[i].unit) == 0)
			return __builtin_mul_overflow(number, units[i].bytes, ret) ? -EINVAL : 0;
	}
	return -EINVAL;
}

int options_parse_address(const char *text, char *ret_host, size_t size, uint16_t *ret_port)
{
	const char *colon = strrchr(text, ':');
	uint64_t port;
	if (!colon || word_u64((struct word){colon + 1, strlen(colon + 1)}, &port) < 0 || port == 0 ||
	    port > UINT16_MAX)
		return -EINVAL;
	const char *host = text;
	size_t len = (size_t)(colon - text);
	bool bracketed = len >= 2 && host[0] == '[' && host[len - 1] == ']';
	if (bracketed) {
		host++;
		len -= 2;
	}
	if (len == 0 || len >= size || (!bracketed && memchr(host, ':', len)) || strcspn(host, " \t/@[]") < len)
		return -EINVAL;
	memcpy(ret_host, host, len);
	ret_host[len] = '\0';
	*ret_port = (uint16_t)port;
	return 0;
}

bool options_is_loopback(const char *host)
{
	return strcasecmp(host, "localhost") == 0 || strcmp(host, "::1") == 0 ||
	       (strncmp(host, "127.", 4) == 0 && strspn(host, "0123456789.") == strlen(host));
}
