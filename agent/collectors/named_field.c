#include "agent/collectors/named_field.h"

#include <protobuf-c/protobuf-c.h>

#include <errno.h>
#include <string.h>

const struct named_field *named_field_find(const struct named_fields *fields, size_t *next, struct word name)
{
	size_t at = *next < fields->n ? *next : 0;
	for (size_t i = 0; i < fields->n; i++) {
		const struct named_field *field = &fields->fields[at];
		at = at + 1 < fields->n ? at + 1 : 0;
		if (field->len == name.len && memcmp(field->name, name.text, name.len) == 0) {
			*next = at;
			return field;
		}
	}
	return NULL;
}

int named_field_set(void *message, const struct named_field *field, uint64_t value)
{
	char *base = message;
	protobuf_c_boolean *has = (protobuf_c_boolean *)(void *)(base + field->has);
	if (*has)
		return -EPROTO;
	*has = 1;
	memcpy(base + field->value, &value, sizeof(value));
	return 0;
}
