/* CRC-32C (Castagnoli, reflected, as in RFC 3720 B.4): finds every error of up to 32 neighbouring bits, and others but
 * for one in 4 billion. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct crc32c {
	bool has_instruction; /* and then no tables, whose pages stay untouched */
	uint32_t table[8][256];
};

void crc32c_init(struct crc32c *crc) __attribute__((nonnull));
/* As on a processor without the instruction. */
void crc32c_init_tables(struct crc32c *crc) __attribute__((nonnull));
/* Goes on from `before`; 0 begins. */
uint32_t crc32c_of(const struct crc32c *crc, uint32_t before, const void *data, size_t len) __attribute__((nonnull(1)));
