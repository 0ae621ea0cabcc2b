/* The 32 bits of the format's fixed-size numbers, little-endian whatever the machine is. */
#pragma once

#include <stddef.h>
#include <stdint.h>

static inline void put_word(uint8_t *p, uint32_t v)
{
	for (size_t i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

static inline uint32_t take_word(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}
