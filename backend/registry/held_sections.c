/* The bytes of a section are copied once, when the first snapshot comes in which it is not due: the frame they came in
 * holds all other sections too and is not kept for one of them. */
#include "backend/registry/held_sections.h"

#include "common/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Of sonde.v1: every section's field 1 is its State, whose field 1 is the code. */
enum { SECTION_STATE = 1, STATE_CODE = 1, CODE_NOT_DUE = 2 };

bool held_section_not_due(const uint8_t *bytes, const struct snapshot_slice *slice)
{
	struct wire_reader reader = wire_reader(bytes + slice->offset, slice->len);
	struct wire_field field;
	if (wire_next(&reader, &field) != 1 || field.type != WIRE_BYTES)
		return false;
	struct wire_reader section = wire_reader(field.data, field.len);
	while (wire_next(&section, &field) == 1) {
		if (field.number != SECTION_STATE || field.type != WIRE_BYTES)
			continue;
		struct wire_reader state = wire_reader(field.data, field.len);
		while (wire_next(&state, &field) == 1) {
			if (field.number == STATE_CODE)
				return field.type == WIRE_VARINT && field.value == CODE_NOT_DUE;
		}
		return false;
	}
	return false;
}

static struct held_section *find(const struct held_sections *held, uint32_t number)
{
	for (uint32_t i = 0; i < held->n; i++) {
		if (held->sections[i].number == number)
			return (struct held_section *)&held->sections[i];
	}
	return NULL;
}

static void drop(struct held_sections *held, struct held_section *section)
{
	free(section->bytes);
	*section = held->sections[--held->n];
}

void held_sections_clear(struct held_sections *held)
{
	while (held->n > 0)
		drop(held, &held->sections[held->n - 1]);
}

static void hold(struct held_sections *held, const struct hub_frame *frame, uint32_t number)
{
	for (uint32_t i = 0; i < frame->index.n_sections; i++) {
		const struct snapshot_slice *slice = &frame->index.sections[i];
		if (slice->number != number || held_section_not_due(frame->bytes, slice) ||
		    held->n == SNAPSHOT_INDEX_MAX_SECTIONS)
			continue;
		uint8_t *copy = malloc(slice->len);
		if (!copy)
			return;
		memcpy(copy, frame->bytes + slice->offset, slice->len);
		held->sections[held->n++] = (struct held_section){.number = number, .bytes = copy, .len = slice->len};
	}
}

void held_sections_update(struct held_sections *held, const struct hub_frame *before, const struct hub_frame *newest)
{
	if (before && memcmp(before->index.instance, newest->index.instance, sizeof(before->index.instance)) != 0) {
		held_sections_clear(held);
		before = NULL;
	}
	for (uint32_t i = 0; i < newest->index.n_sections; i++) {
		const struct snapshot_slice *slice = &newest->index.sections[i];
		struct held_section *section = find(held, slice->number);
		bool not_due = held_section_not_due(newest->bytes, slice);
		if (!not_due && section)
			drop(held, section);
		else if (not_due && !section && before)
			hold(held, before, slice->number);
	}
}

int held_sections_compose(const struct held_sections *held, const struct hub_frame *newest, struct buf *out)
{
	uint64_t header = 0;
	size_t before = out->len;
	int r = snapshot_index_copy(newest->bytes, newest->len, header, out);
	for (uint32_t i = 0; i < newest->index.n_sections && r == 0; i++) {
		const struct snapshot_slice *slice = &newest->index.sections[i];
		const struct held_section *section = find(held, slice->number);
		r = section ? buf_append(out, section->bytes, section->len)
			    : buf_append(out, newest->bytes + slice->offset, slice->len);
	}
	if (r < 0)
		out->len = before;
	return r;
}
