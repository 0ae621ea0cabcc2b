/* Numbers of the file's format, for its writer and its reader alone. */
#pragma once

#include "backend/archive/archive_file.h"

#include <endian.h>
#include <string.h>

#define ARCHIVE_MAGIC "SONDEBAK"
#define ARCHIVE_HEADER_SIZE 16
#define ARCHIVE_FRAME_HEAD 8
#define ARCHIVE_RECORD_HEAD 9
#define ARCHIVE_END 31
#define ARCHIVE_END_SIZE (ARCHIVE_TYPES * 8 + 4)

static inline void archive_put32(uint8_t *p, uint32_t v)
{
	v = htole32(v);
	memcpy(p, &v, sizeof(v));
}

static inline void archive_put64(uint8_t *p, uint64_t v)
{
	v = htole64(v);
	memcpy(p, &v, sizeof(v));
}

static inline uint32_t archive_get32(const uint8_t *p)
{
	uint32_t v;
	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

static inline uint64_t archive_get64(const uint8_t *p)
{
	uint64_t v;
	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

/* Of two records that changed places the end would count the same: their order counts here. */
static inline uint32_t archive_chain(uint32_t chain, uint32_t crc)
{
	return (chain ^ crc) * 0x9e3779b1u + 1;
}
