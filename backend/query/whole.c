#include "backend/query/whole.h"

#include "backend/registry/held_sections.h"
#include "common/wire.h"

#include <errno.h>
#include <string.h>

#define PROCESSES_SECTION 23
#define WHOLE_MAX_BYTES (16u << 20)
#define DONE 1

static int add_processes(struct whole *whole, const struct store_row *row, const struct snapshot_slice *slice)
{
	struct wire_reader reader = wire_reader(row->payload + slice->offset, slice->len);
	struct wire_field f;
	if (wire_next(&reader, &f) != 1 || f.type != WIRE_BYTES)
		return -EPROTO;
	return process_table_add(&whole->processes, f.data, f.len, row->agent_us);
}

static int begin(struct whole *whole, const struct store_row *row, const struct snapshot_index *index)
{
	whole->found = true;
	whole->agent_us = row->agent_us;
	whole->index = *index;
	memcpy(whole->instance, row->instance, sizeof(whole->instance));
	memcpy(whole->descriptor_hash, row->descriptor_hash, sizeof(whole->descriptor_hash));
	for (uint32_t i = 0; i < index->n_sections; i++)
		whole->sections[i].wanted = held_section_not_due(row->payload, &index->sections[i]);
	return buf_append(&whole->base, row->payload, row->len);
}

static int hold(struct whole *whole, size_t i, const struct store_row *row, const struct snapshot_slice *slice)
{
	whole->sections[i].wanted = false;
	whole->sections[i].offset = whole->held.len;
	whole->sections[i].len = slice->len;
	return buf_append(&whole->held, row->payload + slice->offset, slice->len);
}

/* Takes from a row what is still missing; DONE when nothing is. */
static int take(struct whole *whole, const struct store_row *row, const struct snapshot_index *index)
{
	bool missing = false;
	for (uint32_t i = 0; i < whole->index.n_sections; i++) {
		bool processes = whole->index.sections[i].number == PROCESSES_SECTION;
		if (!whole->sections[i].wanted && (!processes || whole->processes.complete))
			continue;
		missing = true;
		for (uint32_t k = 0; k < index->n_sections; k++) {
			const struct snapshot_slice *slice = &index->sections[k];
			if (slice->number != whole->index.sections[i].number ||
			    held_section_not_due(row->payload, slice))
				continue;
			int r = processes ? add_processes(whole, row, slice) : hold(whole, i, row, slice);
			if (processes && r == 0)
				whole->sections[i].wanted = false;
			if (r < 0)
				return r;
		}
	}
	return missing ? 0 : DONE;
}

static int on_row(void *arg, const struct store_row *row)
{
	struct whole *whole = arg;
	struct snapshot_index index;
	if (snapshot_index_parse(row->payload, row->len, &index) < 0)
		return 0; /* one damaged row costs itself */
	if (!whole->found) {
		int r = begin(whole, row, &index);
		if (r < 0)
			return r;
	}
	if (whole->agent_us - row->agent_us > WHOLE_LOOKBACK_US || ++whole->rows > WHOLE_MAX_ROWS)
		return DONE;
	if (memcmp(row->instance, whole->instance, sizeof(row->instance)) != 0)
		return 0; /* an agent's last snapshots may come after its successor's first */
	return take(whole, row, &index);
}

int whole_read(struct store *store, const uint8_t host_id[16], int64_t at_us, struct whole *ret)
{
	*ret = (struct whole){.base = BUF_INIT(WHOLE_MAX_BYTES), .held = BUF_INIT(WHOLE_MAX_BYTES)};
	int r = store_snapshots_between(store, host_id, 0, at_us < 0 ? 0 : at_us, true, on_row, ret);
	return r == DONE ? 0 : r;
}

int whole_compose(const struct whole *whole, struct buf *out)
{
	BUF_CLEANUP struct buf processes = BUF_INIT(PROCESS_TABLE_MAX_BYTES);
	int r = snapshot_index_copy(whole->base.data, whole->base.len, 0, out);
	for (uint32_t i = 0; i < whole->index.n_sections && r == 0; i++) {
		const struct snapshot_slice *slice = &whole->index.sections[i];
		if (slice->number == PROCESSES_SECTION && whole->processes.begun) {
			r = process_table_compose(&whole->processes, &processes);
			if (r == 0)
				r = wire_put_bytes(out, PROCESSES_SECTION, processes.data, processes.len);
		} else if (whole->sections[i].len > 0) {
			r = buf_append(out, whole->held.data + whole->sections[i].offset, whole->sections[i].len);
		} else {
			r = buf_append(out, whole->base.data + slice->offset, slice->len);
		}
	}
	return r;
}

void whole_free(struct whole *whole)
{
	buf_free(&whole->base);
	buf_free(&whole->held);
	process_table_free(&whole->processes);
}
