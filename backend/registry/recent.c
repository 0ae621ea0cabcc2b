/* One row compresses badly and a dozen of them well, for a snapshot is much like the one before; so a host's rows are
 * gathered until there are so many. Blocks leave in the order they came in, whosever they are: the oldest rows are
 * the next to be sealed. */
#include "backend/registry/recent_private.h"

#include "common/clock.h"
#include "common/schema/snapshot_index.h"

#include <errno.h>
#include <stdalign.h>
#include <string.h>
#include <sys/mman.h>

#define LEVEL (-1)			     /* an eighth more bytes than 3, in two thirds of the time */
#define MAX_AGE_US (20 * 60 * 1000000ll)     /* rows are sealed after ten minutes, when all is well */
#define ASKED_NS (24 * 3600 * 1000000000ull) /* how long what was asked for is kept of new rows */
#define HOSTS_MAX 2000
#define PENDING_SHARE 4 /* of all bytes, one part in so many waits to be compressed */
#define SLAB_BYTES ((size_t)256 << 10)
#define SLAB_HEAD ((size_t)64)			      /* where the first block begins */
#define SWEEP_EVERY 4096			      /* rows */
#define ALWAYS (1ull << 10 | 1ull << 11 | 1ull << 12) /* summary, cpu, memory */

int recent_new(size_t max_bytes, struct recent **ret)
{
	struct recent *recent = calloc(1, sizeof(*recent));
	if (!recent)
		return -ENOMEM;
	recent->packer = ZSTD_createCCtx();
	if (!recent->packer) {
		free(recent);
		return -ENOMEM;
	}
	recent->max_bytes = max_bytes;
	recent->packed = BUF_INIT(1u << 20);
	atomic_init(&recent->wanted, ALWAYS);
	pthread_mutex_init(&recent->lock, NULL);
	*ret = recent;
	return 0;
}

/* --- hosts and blocks -------------------------------------------------------------------------------------------- */

static void slab_unref(struct recent_slab *slab)
{
	if (slab && atomic_fetch_sub(&slab->references, 1) == 1)
		munmap(slab, SLAB_BYTES);
}

void recent_block_unref(struct recent_block *block)
{
	if (!block || atomic_fetch_sub(&block->references, 1) > 1)
		return;
	if (block->slab)
		slab_unref(block->slab);
	else
		free(block);
}

static struct recent_host **slot_of(struct recent *recent, const uint8_t host_id[16])
{
	uint64_t words[2];
	memcpy(words, host_id, sizeof(words));
	struct recent_host **at = &recent->hosts[((words[0] ^ words[1]) * 0x9e3779b97f4a7c15ull >> 32) % RECENT_SLOTS];
	while (*at && memcmp((*at)->host_id, host_id, sizeof((*at)->host_id)) != 0)
		at = &(*at)->next;
	return at;
}

struct recent_host *recent_find_host(const struct recent *recent, const uint8_t host_id[16])
{
	return *slot_of((struct recent *)recent, host_id);
}

static struct recent_host *obtain_host(struct recent *recent, const uint8_t host_id[16])
{
	struct recent_host **at = slot_of(recent, host_id);
	if (*at || recent->n_hosts == HOSTS_MAX)
		return *at;
	struct recent_host *host = calloc(1, sizeof(*host));
	if (!host)
		return NULL;
	memcpy(host->host_id, host_id, sizeof(host->host_id));
	host->raw = BUF_INIT(RECENT_BLOCK_BYTES + RECENT_ROW_BYTES);
	recent->bytes += sizeof(*host);
	recent->n_hosts++;
	*at = host;
	return host;
}

static void forget_oldest(struct recent *recent)
{
	struct recent_block *block = recent->first;
	recent->first = block->next;
	if (!recent->first)
		recent->last = NULL;
	/* The oldest of all is the oldest of its host. */
	block->host->first = block->next_of_host;
	if (!block->host->first)
		block->host->last = NULL;
	recent->bytes -= block->size;
	recent_block_unref(block);
}

static void forget_pending(struct recent *recent, struct recent_host *host)
{
	recent->bytes -= host->raw.cap;
	buf_free(&host->raw);
	host->raw = BUF_INIT(RECENT_BLOCK_BYTES + RECENT_ROW_BYTES);
	host->n = 0;
}

void recent_free(struct recent *recent)
{
	if (!recent)
		return;
	while (recent->first)
		forget_oldest(recent);
	for (size_t i = 0; i < RECENT_SLOTS; i++) {
		while (recent->hosts[i]) {
			struct recent_host *host = recent->hosts[i];
			recent->hosts[i] = host->next;
			buf_free(&host->raw);
			free(host);
		}
	}
	slab_unref(recent->slab);
	ZSTD_freeCCtx(recent->packer);
	buf_free(&recent->packed);
	pthread_mutex_destroy(&recent->lock);
	free(recent);
}

/* Room in the slab, or in a new one. NULL: no memory. */
static void *slab_take(struct recent *recent, size_t size)
{
	_Static_assert(SLAB_BYTES > 4 * (RECENT_BLOCK_BYTES + RECENT_ROW_BYTES), "blocks fit");
	size = (size + alignof(max_align_t) - 1) / alignof(max_align_t) * alignof(max_align_t);
	if (!recent->slab || recent->slab->used + size > SLAB_BYTES) {
		struct recent_slab *slab =
			mmap(NULL, SLAB_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (slab == MAP_FAILED)
			return NULL;
		atomic_init(&slab->references, 1);
		slab->used = SLAB_HEAD;
		slab_unref(recent->slab);
		recent->slab = slab;
	}
	recent->slab->used += size;
	atomic_fetch_add(&recent->slab->references, 1);
	return (uint8_t *)recent->slab + recent->slab->used - size;
}

/* A block of a host's pending rows with these bytes; of one that is packed the slabs have the memory. */
static struct recent_block *new_block(struct recent *recent, const struct recent_host *host, const uint8_t *bytes,
				      size_t len)
{
	size_t size = sizeof(struct recent_block) + host->n * sizeof(struct recent_tick) + len;
	struct recent_block *block = recent ? slab_take(recent, size) : malloc(size);
	if (!block)
		return NULL;
	*block = (struct recent_block){.slab = recent ? recent->slab : NULL,
				       .size = size,
				       .n = host->n,
				       .raw_len = (uint32_t)host->raw.len,
				       .packed_len = recent ? (uint32_t)len : 0,
				       .newest_us = host->ticks[host->n - 1].received_us};
	atomic_init(&block->references, 1);
	memcpy(block->instance, host->instance, sizeof(block->instance));
	memcpy(block->descriptor_hash, host->descriptor_hash, sizeof(block->descriptor_hash));
	memcpy(block->ticks, host->ticks, host->n * sizeof(*host->ticks));
	if (len > 0)
		memcpy(&block->ticks[block->n], bytes, len);
	return block;
}

struct recent_block *recent_copy_pending(const struct recent_host *host)
{
	return new_block(NULL, host, host->raw.data, host->raw.len);
}

static struct recent_block *pack(struct recent *recent, const struct recent_host *host)
{
	recent->packed.len = 0;
	if (buf_reserve(&recent->packed, ZSTD_compressBound(host->raw.len)) < 0)
		return NULL;
	size_t len = ZSTD_compressCCtx(recent->packer, recent->packed.data, ZSTD_compressBound(host->raw.len),
				       host->raw.data, host->raw.len, LEVEL);
	return ZSTD_isError(len) ? NULL : new_block(recent, host, recent->packed.data, len);
}

/* Pending rows become a block. */
static void finish_block(struct recent *recent, struct recent_host *host)
{
	struct recent_block *block = host->n > 0 ? pack(recent, host) : NULL;
	host->raw.len = 0;
	host->n = 0;
	if (!block)
		return;
	block->host = host;
	*(recent->last ? &recent->last->next : &recent->first) = block;
	recent->last = block;
	*(host->last ? &host->last->next_of_host : &host->first) = block;
	host->last = block;
	recent->bytes += block->size;
}

/* Hosts that say nothing any more, and what nobody asks for any more. */
static void sweep(struct recent *recent)
{
	uint64_t now = clock_monotonic_ns(), wanted = ALWAYS;
	for (unsigned section = 0; section < 64; section++) {
		uint64_t asked = atomic_load(&recent->asked_ns[section]);
		if (asked != 0 && (asked > now || now - asked < ASKED_NS))
			wanted |= 1ull << section;
	}
	atomic_store(&recent->wanted, wanted);
	for (size_t i = 0; i < RECENT_SLOTS; i++) {
		for (struct recent_host **at = &recent->hosts[i]; *at;) {
			struct recent_host *host = *at;
			if (host->n > 0 && host->ticks[host->n - 1].received_us < recent->newest_us - MAX_AGE_US)
				forget_pending(recent, host);
			if (host->n > 0 || host->first) {
				at = &host->next;
				continue;
			}
			*at = host->next;
			recent->n_hosts--;
			recent->bytes -= sizeof(*host) + host->raw.cap;
			buf_free(&host->raw);
			free(host);
		}
	}
}

static void make_room(struct recent *recent)
{
	while (recent->first &&
	       (recent->bytes > recent->max_bytes || recent->first->newest_us < recent->newest_us - MAX_AGE_US))
		forget_oldest(recent);
	if (++recent->adds % SWEEP_EVERY == 0)
		sweep(recent);
}

/* --- rows -------------------------------------------------------------------------------------------------------- */

/* The header and the sections that are wanted; the sections that are not are said. 0 or -ENOMEM. */
static int copy(struct buf *raw, const uint8_t *payload, const struct snapshot_index *index, size_t len,
		uint64_t wanted, uint64_t *ret_left_out)
{
	size_t from = 0, taken = 0;
	int r = 0;
	for (uint32_t i = 0; r == 0 && i < index->n_sections; i++) {
		const struct snapshot_slice *slice = &index->sections[i];
		uint64_t bit = slice->number < 64 ? 1ull << slice->number : 0;
		if ((bit & wanted) && taken + slice->len <= RECENT_ROW_BYTES / 2) {
			taken += slice->len;
			continue;
		}
		*ret_left_out |= bit;
		r = buf_append(raw, payload + from, slice->offset - from);
		from = slice->offset + slice->len;
	}
	return r < 0 ? r : buf_append(raw, payload + from, len - from);
}

/* The lock is held. */
static void add_to(struct recent *recent, struct recent_host *host, const struct store_row *row,
		   const struct snapshot_index *index, uint64_t rest)
{
	uint64_t wanted = atomic_load_explicit(&recent->wanted, memory_order_relaxed);
	size_t cap = host->raw.cap, enough = recent->max_bytes / PENDING_SHARE / recent->n_hosts;
	bool other = memcmp(host->instance, row->instance, 16) != 0 ||
		     memcmp(host->descriptor_hash, row->descriptor_hash, 32) != 0;
	if (other && host->n > 0)
		finish_block(recent, host);
	struct recent_tick *tick = &host->ticks[host->n];
	*tick = (struct recent_tick){.agent_us = row->agent_us,
				     .received_us = row->received_us,
				     .sequence = row->sequence,
				     .boottime_us = row->boottime_us,
				     .left_out = rest,
				     .at = (uint32_t)host->raw.len};
	int r = copy(&host->raw, row->payload, index, row->len, wanted, &tick->left_out);
	recent->bytes += host->raw.cap - cap;
	if (r < 0) {
		host->raw.len = tick->at;
		return;
	}
	tick->len = (uint32_t)host->raw.len - tick->at;
	memcpy(host->instance, row->instance, 16);
	memcpy(host->descriptor_hash, row->descriptor_hash, 32);
	host->n++;
	enough = enough < RECENT_BLOCK_BYTES ? enough : RECENT_BLOCK_BYTES;
	if (host->n == RECENT_BLOCK_ROWS || host->raw.len >= enough)
		finish_block(recent, host);
}

/* `rest`: sections that stand behind these bytes. */
static void add(struct recent *recent, const uint8_t host_id[16], const struct store_row *row,
		const struct snapshot_index *index, uint64_t rest)
{
	pthread_mutex_lock(&recent->lock);
	struct recent_host *host = obtain_host(recent, host_id);
	if (host)
		add_to(recent, host, row, index, rest);
	if (row->received_us > recent->newest_us)
		recent->newest_us = row->received_us;
	make_room(recent);
	pthread_mutex_unlock(&recent->lock);
}

void recent_add(struct recent *recent, const uint8_t host_id[16], const uint8_t instance[16],
		const struct store_snapshot *snapshot)
{
	struct snapshot_index index;
	struct store_row row = {.sequence = snapshot->sequence,
				.agent_us = snapshot->agent_us,
				.boottime_us = snapshot->boottime_us,
				.received_us = snapshot->received_us,
				.payload = snapshot->payload,
				.len = snapshot->len};
	if (store_is_late(snapshot, 1) || snapshot_index_parse(row.payload, row.len, &index) < 0)
		return;
	memcpy(row.instance, instance, sizeof(row.instance));
	memcpy(row.descriptor_hash, snapshot->descriptor_hash, sizeof(row.descriptor_hash));
	add(recent, host_id, &row, &index, 0);
}

void recent_add_row(struct recent *recent, const uint8_t host_id[16], const struct store_row *row)
{
	struct store_row here = *row;
	struct snapshot_index index;
	uint64_t rest = 0;
	if (row->damaged || snapshot_index_beginning(row->payload, row->len, row->whole_len, &index, &here.len) < 0)
		return;
	/* Of what follows nobody knows which sections it has. */
	if (row->len < row->whole_len)
		rest = UINT64_MAX;
	for (uint32_t i = 0; i < index.n_sections; i++)
		rest &= ~(index.sections[i].number < 64 ? 1ull << index.sections[i].number : 0);
	add(recent, host_id, &here, &index, rest);
}

void recent_ask(struct recent *recent, uint32_t section)
{
	if (section >= 64)
		return;
	uint64_t now = clock_monotonic_ns(), bit = 1ull << section;
	atomic_store_explicit(&recent->asked_ns[section], now, memory_order_relaxed);
	if (!(atomic_load_explicit(&recent->wanted, memory_order_relaxed) & bit))
		atomic_fetch_or(&recent->wanted, bit);
}

size_t recent_bytes(struct recent *recent)
{
	pthread_mutex_lock(&recent->lock);
	size_t bytes = recent->bytes;
	pthread_mutex_unlock(&recent->lock);
	return bytes;
}
