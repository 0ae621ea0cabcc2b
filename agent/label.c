#include "agent/label.h"

#include "common/wire.h"

void label_clean(char *text, size_t len)
{
	bool utf8 = wire_utf8((const uint8_t *)text, len);
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];
		if (c < 0x20 || c == 0x7f || (c > 0x7f && !utf8))
			text[i] = '?';
	}
}

char *label_copy(struct arena *arena, const char *text, size_t len)
{
	char *copy = arena_strndup(arena, text, len);
	if (copy)
		label_clean(copy, len);
	return copy;
}
