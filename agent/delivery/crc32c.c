/* Eight bytes a step, by eight tables of 1 KiB: ten times the speed of one table, on every processor. The tables are
 * the caller's, so that an agent without a spool has none. Processors that have the sum as an instruction touch no
 * table, which at one snapshot a second would come out of main memory each time. */
#include "agent/delivery/crc32c.h"

#include <endian.h>
#include <stdbool.h>
#include <string.h>

#define POLYNOMIAL 0x82f63b78u

#ifdef __x86_64__
static bool has_instruction(void)
{
	return __builtin_cpu_supports("sse4.2");
}

__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t value, const uint8_t *p, size_t len)
{
	uint64_t sum = value;
	for (; len >= 8; p += 8, len -= 8) {
		uint64_t eight;
		memcpy(&eight, p, sizeof(eight));
		sum = __builtin_ia32_crc32di(sum, eight);
	}
	value = (uint32_t)sum;
	for (; len > 0; p++, len--)
		value = __builtin_ia32_crc32qi(value, *p);
	return value;
}
#else
static bool has_instruction(void)
{
	return false;
}

static uint32_t by_instruction(uint32_t value, const uint8_t *p, size_t len)
{
	return value;
}
#endif

void crc32c_init_tables(struct crc32c *crc)
{
	crc->has_instruction = false;
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t value = i;
		for (int bit = 0; bit < 8; bit++)
			value = value >> 1 ^ (value & 1 ? POLYNOMIAL : 0);
		crc->table[0][i] = value;
	}
	for (uint32_t i = 0; i < 256; i++) {
		for (int k = 1; k < 8; k++) {
			uint32_t before = crc->table[k - 1][i];
			crc->table[k][i] = before >> 8 ^ crc->table[0][before & 0xff];
		}
	}
}

void crc32c_init(struct crc32c *crc)
{
	if (has_instruction())
		crc->has_instruction = true;
	else
		crc32c_init_tables(crc);
}

static uint32_t by_tables(const struct crc32c *crc, uint32_t value, const uint8_t *p, size_t len)
{
	for (; len >= 8; p += 8, len -= 8) {
		uint64_t eight;
		memcpy(&eight, p, sizeof(eight));
		eight = le64toh(eight) ^ value;
		value = 0;
		for (int k = 0; k < 8; k++)
			value ^= crc->table[7 - k][eight >> 8 * k & 0xff];
	}
	for (; len > 0; p++, len--)
		value = value >> 8 ^ crc->table[0][(value ^ *p) & 0xff];
	return value;
}

uint32_t crc32c_of(const struct crc32c *crc, uint32_t before, const void *data, size_t len)
{
	return ~(crc->has_instruction ? by_instruction(~before, data, len) : by_tables(crc, ~before, data, len));
}
