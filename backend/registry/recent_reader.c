/* References to blocks are taken under the lock, and what is in them is looked at without it. */
#include "backend/registry/recent_private.h"

#include <errno.h>
#include <string.h>

#define NONE UINT32_MAX

struct entry {
	int64_t agent_us, received_us;
	uint32_t block, tick;
};

struct recent_reader {
	struct recent_block **blocks;
	uint32_t n_blocks;
	struct entry *entries; /* by agent_us, received_us */
	uint32_t n, next;      /* where the last one was found, and one more */
	ZSTD_DCtx *unpacker;
	struct buf raw;
	uint32_t unpacked; /* which block `raw` is, or NONE */
};

void recent_close(struct recent_reader *reader)
{
	if (!reader)
		return;
	for (uint32_t i = 0; i < reader->n_blocks; i++)
		recent_block_unref(reader->blocks[i]);
	ZSTD_freeDCtx(reader->unpacker);
	buf_free(&reader->raw);
	free(reader->blocks);
	free(reader->entries);
	free(reader);
}

/* The lock is held. */
static int take_blocks(const struct recent_host *host, struct recent_reader *reader)
{
	uint32_t n = 1;
	for (const struct recent_block *block = host->first; block; block = block->next_of_host)
		n++;
	reader->blocks = malloc(n * sizeof(struct recent_block *));
	if (!reader->blocks)
		return -ENOMEM;
	for (struct recent_block *block = host->first; block; block = block->next_of_host) {
		atomic_fetch_add(&block->references, 1);
		reader->blocks[reader->n_blocks++] = block;
	}
	if (host->n == 0)
		return 0;
	struct recent_block *pending = recent_copy_pending(host);
	if (!pending)
		return -ENOMEM;
	reader->blocks[reader->n_blocks++] = pending;
	return 0;
}

static int order(const struct entry *x, int64_t agent_us, int64_t received_us)
{
	if (x->agent_us != agent_us)
		return x->agent_us < agent_us ? -1 : 1;
	return (x->received_us > received_us) - (x->received_us < received_us);
}

static int by_time(const void *a, const void *b)
{
	const struct entry *y = b;
	return order(a, y->agent_us, y->received_us);
}

static int list(struct recent_reader *reader, int64_t from_us, int64_t to_us)
{
	size_t n = 0;
	for (uint32_t i = 0; i < reader->n_blocks; i++)
		n += reader->blocks[i]->n;
	reader->entries = malloc((n + 1) * sizeof(*reader->entries));
	if (!reader->entries)
		return -ENOMEM;
	for (uint32_t i = 0; i < reader->n_blocks; i++) {
		for (uint32_t k = 0; k < reader->blocks[i]->n; k++) {
			const struct recent_tick *tick = &reader->blocks[i]->ticks[k];
			if (tick->agent_us >= from_us && tick->agent_us <= to_us)
				reader->entries[reader->n++] = (struct entry){.agent_us = tick->agent_us,
									      .received_us = tick->received_us,
									      .block = i,
									      .tick = k};
		}
	}
	qsort(reader->entries, reader->n, sizeof(*reader->entries), by_time);
	return 0;
}

int recent_open(struct recent *recent, const uint8_t host_id[16], int64_t from_us, int64_t to_us,
		struct recent_reader **ret)
{
	struct recent_reader *reader = calloc(1, sizeof(*reader));
	if (!reader)
		return -ENOMEM;
	reader->raw = BUF_INIT(RECENT_BLOCK_BYTES + RECENT_ROW_BYTES);
	reader->unpacked = NONE;
	pthread_mutex_lock(&recent->lock);
	const struct recent_host *host = recent_find_host(recent, host_id);
	int r = host ? take_blocks(host, reader) : 0;
	pthread_mutex_unlock(&recent->lock);
	if (r == 0)
		r = list(reader, from_us, to_us);
	if (r < 0 || reader->n == 0) {
		recent_close(reader);
		reader = NULL;
	}
	if (r == 0)
		*ret = reader;
	return r;
}

static uint32_t find(struct recent_reader *reader, const struct store_row *row)
{
	uint32_t low = 0, high = reader->n, next = reader->next;
	if (next < reader->n && order(&reader->entries[next], row->agent_us, row->received_us) == 0)
		low = next;
	else
		while (low < high) {
			uint32_t middle = low + (high - low) / 2;
			if (order(&reader->entries[middle], row->agent_us, row->received_us) < 0)
				low = middle + 1;
			else
				high = middle;
		}
	if (low == reader->n || order(&reader->entries[low], row->agent_us, row->received_us) != 0)
		return NONE;
	/* Of two that say the same nobody knows which is asked for. */
	bool twice = low > 0 && by_time(&reader->entries[low - 1], &reader->entries[low]) == 0;
	twice |= low + 1 < reader->n && by_time(&reader->entries[low + 1], &reader->entries[low]) == 0;
	return twice ? NONE : low;
}

static uint32_t find_with(struct recent_reader *reader, const struct store_row *row, uint32_t section)
{
	uint32_t at = find(reader, row);
	if (at == NONE || section >= 64)
		return NONE;
	const struct entry *entry = &reader->entries[at];
	return reader->blocks[entry->block]->ticks[entry->tick].left_out >> section & 1 ? NONE : at;
}

bool recent_has(struct recent_reader *reader, const struct store_row *row, uint32_t section)
{
	return find_with(reader, row, section) != NONE;
}

static int unpack(struct recent_reader *reader, uint32_t number)
{
	const struct recent_block *block = reader->blocks[number];
	if (block->packed_len == 0 || reader->unpacked == number)
		return 0;
	reader->unpacked = NONE;
	reader->raw.len = 0;
	if (!reader->unpacker)
		reader->unpacker = ZSTD_createDCtx();
	if (!reader->unpacker || buf_reserve(&reader->raw, block->raw_len) < 0)
		return -ENOMEM;
	size_t len = ZSTD_decompressDCtx(reader->unpacker, reader->raw.data, block->raw_len, recent_block_bytes(block),
					 block->packed_len);
	if (ZSTD_isError(len) || len != block->raw_len)
		return -ENOMEM; /* it was packed here: memory is what can be wanting */
	reader->unpacked = number;
	return 0;
}

int recent_get(struct recent_reader *reader, const struct store_row *row, uint32_t section, struct store_row *ret)
{
	uint32_t at = find_with(reader, row, section);
	if (at == NONE)
		return 0;
	const struct entry *entry = &reader->entries[at];
	const struct recent_block *block = reader->blocks[entry->block];
	const struct recent_tick *tick = &block->ticks[entry->tick];
	int r = unpack(reader, entry->block);
	if (r < 0)
		return r;
	reader->next = at + 1;
	const uint8_t *bytes = block->packed_len == 0 ? recent_block_bytes(block) : reader->raw.data;
	*ret = (struct store_row){.sequence = tick->sequence,
				  .agent_us = tick->agent_us,
				  .boottime_us = tick->boottime_us,
				  .received_us = tick->received_us,
				  .payload = bytes + tick->at,
				  .len = tick->len,
				  .whole_len = tick->len,
				  .id = row->id};
	memcpy(ret->instance, block->instance, sizeof(ret->instance));
	memcpy(ret->descriptor_hash, block->descriptor_hash, sizeof(ret->descriptor_hash));
	return 1;
}
