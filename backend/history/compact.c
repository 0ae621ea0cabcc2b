/* Bytes are read under a view that is closed before they are worked on: a merge may take seconds, and a view keeps the
 * database from forgetting. Whether all is still as it was is seen by store_replace(). */
#include "backend/history/compact.h"

#include "backend/columns/chunk.h"
#include "backend/columns/chunk_merge.h"
#include "backend/history/tiers.h"
#include "backend/history/window.h"

#include <errno.h>
#include <stdlib.h>

#define MAX_NEW 16
#define MAX_LEFT 12	       /* chunks of a window that are left as they are: a query of it opens them all */
#define LEAST_LEFT (64u << 10) /* bytes of them: in small ones what each says of itself counts */

/* The minutes of the window's time that there are already, by generation; data is malloc'd. */
struct minutes {
	struct chunk_bytes *chunks;
	uint32_t n;
};

struct compacting {
	const struct compact_job *job;
	struct store_chunk *chunks;  /* of the window that could be read, by generation */
	struct window_input *inputs; /* the same; data is malloc'd */
	size_t n;
	bool left;		      /* as they are */
	bool has_minutes[ROLLUP_END]; /* there are such of this window's time already */
	/* Filled where these are all that is left of the time: the raw values they were made of have been forgotten. */
	struct minutes minutes[ROLLUP_END];
	struct window_output merged;
	struct store_chunk *old, *new;
	size_t n_old, n_new;
	struct compact_result result;
};

static void compacting_free(struct compacting *c)
{
	for (size_t i = 0; c->inputs && i < c->n; i++)
		free((void *)c->inputs[i].data);
	for (unsigned s = 0; s < ROLLUP_END; s++) {
		for (uint32_t i = 0; i < c->minutes[s].n; i++)
			free((void *)c->minutes[s].chunks[i].data);
		free(c->minutes[s].chunks);
	}
	free(c->inputs);
	free(c->chunks);
	free(c->old);
	free(c->new);
	window_output_free(&c->merged);
}

static int by_generation(const void *a, const void *b)
{
	const struct store_chunk *x = a, *y = b;
	if (x->generation != y->generation)
		return x->generation < y->generation ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

/* --- what there is --- */

static int list(struct compacting *c, struct store_view *view)
{
	const struct compact_job *job = c->job;
	const struct store_window *window = job->window;
	int64_t end_us = window->window_us + tiers_longest_us(job->tier) - 1, newest_us = INT64_MIN;
	size_t n, uncompacted = 0;
	uint64_t bytes = 0;
	int r = store_view_chunks(view, window->host_id, job->tier, window->statistic, window->window_us, end_us,
				  &c->chunks, &n);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		if (c->chunks[i].window_us != window->window_us)
			continue;
		c->chunks[c->n++] = c->chunks[i];
		bytes += c->chunks[c->n - 1].len;
		if (c->chunks[c->n - 1].compacted)
			continue;
		uncompacted++;
		if (c->chunks[c->n - 1].made_us > newest_us)
			newest_us = c->chunks[c->n - 1].made_us;
	}
	if (uncompacted > 0 && uncompacted < c->n && newest_us > job->now_us - job->late_quiet_us)
		return -EAGAIN;
	if (bytes > COMPACT_MAX_BYTES)
		return -EMSGSIZE;
	if (uncompacted == 0)
		c->n = 0;
	if (c->n > 0)
		qsort(c->chunks, c->n, sizeof(*c->chunks), by_generation);
	return 0;
}

/* 0; -EUCLEAN or -ERANGE when the database is damaged there. */
static int read_chunk(struct store_view *view, const struct store_chunk *chunk, uint8_t **ret)
{
	uint8_t *data = malloc(chunk->len > 0 ? chunk->len : 1);
	int r = data ? store_view_read(view, chunk, 0, chunk->len, data) : -ENOMEM;
	if (r < 0) {
		free(data);
		return r;
	}
	*ret = data;
	return 0;
}

static int read_minutes(struct store_view *view, struct store_chunk *chunks, size_t n, struct minutes *ret)
{
	/* The new ones are merged with them. */
	if (n >= CHUNK_MERGE_MAX)
		return -EMSGSIZE;
	ret->chunks = calloc(n + 1, sizeof(*ret->chunks));
	if (!ret->chunks)
		return -ENOMEM;
	qsort(chunks, n, sizeof(*chunks), by_generation);
	for (size_t i = 0; i < n; i++) {
		uint8_t *data;
		int r = read_chunk(view, &chunks[i], &data);
		if (r == -EUCLEAN || r == -ERANGE)
			continue;
		if (r < 0)
			return r;
		ret->chunks[ret->n++] = (struct chunk_bytes){.data = data, .len = chunks[i].len};
	}
	return 0;
}

/* Of a window as it was meant when its chunks were written. */
static int64_t window_end(const struct compacting *c)
{
	int64_t end_us = c->job->window->window_us + tiers_window_us(c->job->tier);
	for (size_t i = 0; i < c->n; i++)
		end_us = c->chunks[i].last_us < end_us ? end_us : c->chunks[i].last_us + 1;
	return end_us;
}

static int look_for_minutes(struct compacting *c, struct store_view *view)
{
	const struct store_window *window = c->job->window;
	int64_t end_us = window_end(c) - 1;
	bool forgotten = true;
	for (size_t i = 0; i < c->n; i++)
		forgotten &= !c->chunks[i].compacted;
	for (enum rollup_statistic s = ROLLUP_LAST; s < ROLLUP_END; s++) {
		struct store_chunk *there = NULL;
		size_t n;
		int r = store_view_chunks(view, window->host_id, STORE_TIER_MINUTE, s, window->window_us, end_us,
					  &there, &n);
		if (r < 0)
			return r;
		c->has_minutes[s] = n > 0;
		if (forgotten && n > 0)
			r = read_minutes(view, there, n, &c->minutes[s]);
		free(there);
		if (r < 0)
			return r;
	}
	return 0;
}

/* What the database cannot read is left out, and said. */
static int read_chunks(struct compacting *c, struct store_view *view)
{
	size_t kept = 0;
	c->inputs = calloc(c->n + 1, sizeof(*c->inputs));
	if (!c->inputs)
		return -ENOMEM;
	for (size_t i = 0; i < c->n; i++) {
		const struct store_chunk *chunk = &c->chunks[i];
		uint8_t *data;
		int r = read_chunk(view, chunk, &data);
		if (r == -EUCLEAN || r == -ERANGE) {
			c->result.unreadable++;
			continue;
		}
		if (r < 0) {
			c->n = kept;
			return r;
		}
		c->inputs[kept] = (struct window_input){.data = data, .len = chunk->len};
		c->chunks[kept++] = *chunk;
	}
	c->n = kept;
	return 0;
}

static int read_window(struct compacting *c)
{
	struct store_view *view;
	int r = store_view_open(c->job->store, &view);
	if (r < 0)
		return r;
	r = list(c, view);
	if (r < 0)
		c->n = 0;
	if (r == 0 && c->n > 0 && c->job->tier == STORE_TIER_RAW)
		r = look_for_minutes(c, view);
	if (r == 0)
		r = read_chunks(c, view);
	store_view_close(view);
	return r;
}

/* --- what becomes of it --- */

static bool overlap(const struct compacting *c)
{
	for (size_t i = 0; i < c->n; i++) {
		for (size_t k = 0; k < i; k++) {
			if (c->chunks[i].first_us <= c->chunks[k].last_us &&
			    c->chunks[k].first_us <= c->chunks[i].last_us)
				return true;
		}
	}
	return false;
}

/* Of processes only: where they come and go all the time each chunk has others. What is said twice of a moment is put
 * together, and a single chunk becomes dense. */
static int look_at(struct compacting *c)
{
	uint64_t bytes = 0;
	for (size_t i = 0; i < c->n; i++)
		bytes += c->chunks[i].len;
	bool may = c->job->tier == STORE_TIER_PROCESSES && c->n > 1 && c->n <= MAX_LEFT && bytes >= LEAST_LEFT;
	may = may && !overlap(c);
	return may ? window_saves_little(c->inputs, c->n, &c->left) : 0;
}

static int add_new(struct compacting *c, enum store_tier tier, uint32_t statistic, const struct buf *bytes)
{
	struct chunk_reader chunk;
	int r = chunk_open(bytes->data, bytes->len, &chunk);
	if (r < 0)
		return r;
	c->new[c->n_new++] = (struct store_chunk){
		.tier = tier,
		.statistic = statistic,
		.compacted = tier == c->job->tier,
		.window_us = tiers_window_of(tier, chunk.n_ticks > 0 ? chunk.first_us : c->job->window->window_us),
		.first_us = chunk.first_us,
		.last_us = chunk.last_us,
		.made_us = c->job->now_us,
		.len = bytes->len,
		.data = bytes->data,
	};
	return 0;
}

/* All are compacted as they are; those that were need not be told. */
static int leave(const struct compacting *c, struct compact_result *ret)
{
	struct store_chunk left[MAX_LEFT];
	struct compact_result result = c->result;
	for (size_t i = 0; i < c->n; i++) {
		if (c->chunks[i].compacted)
			continue;
		left[result.left] = c->chunks[i];
		left[result.left++].data = c->inputs[i].data;
	}
	int r = store_keep(c->job->store, c->job->window->host_id, left, result.left);
	if (r == 0)
		*ret = result;
	return r;
}

/* A damaged chunk is said to be compacted, so that nobody looks for it again; it keeps its place before the others. */
static void keep_damaged(struct compacting *c)
{
	for (size_t i = 0; i < c->n; i++) {
		if (!c->inputs[i].damaged || c->chunks[i].compacted)
			continue;
		c->old[c->n_old++] = c->chunks[i];
		c->new[c->n_new] = c->chunks[i];
		c->new[c->n_new].data = c->inputs[i].data;
		c->new[c->n_new++].compacted = true;
		c->result.damaged++;
	}
}

static int put_merged(struct compacting *c)
{
	bool any = false;
	for (size_t i = 0; i < c->n; i++)
		any |= !c->inputs[i].damaged && !c->chunks[i].compacted;
	if (!any || c->merged.merged.len == 0)
		return 0;
	for (size_t i = 0; i < c->n; i++) {
		if (c->inputs[i].damaged)
			continue;
		c->old[c->n_old++] = c->chunks[i];
		c->result.chunks_before++;
		c->result.bytes_before += c->chunks[i].len;
	}
	c->result.chunks_after++;
	c->result.bytes_after += c->merged.merged.len;
	return add_new(c, c->job->tier, c->job->window->statistic, &c->merged.merged);
}

/* A late reading is not all there was of its minute: what was made while everything was there stays right, and the new
 * minutes are those that it has not. */
static int keep_minutes(struct compacting *c, enum rollup_statistic s)
{
	struct buf *minutes = &c->merged.minutes[s];
	const struct buf *new = minutes->len > 0 ? minutes : &c->merged.no_minutes;
	int64_t from_us = c->job->window->window_us, to_us = window_end(c);
	struct chunk_bytes all[CHUNK_MERGE_MAX];
	struct chunk_merge_result result;
	uint32_t n = 0, bad;
	if (c->minutes[s].n == 0 || new->len == 0)
		return 0;
	all[n++] = (struct chunk_bytes){.data = new->data, .len = new->len};
	for (uint32_t i = 0; i < c->minutes[s].n; i++)
		all[n++] = c->minutes[s].chunks[i];
	for (;;) {
		struct buf out BUF_CLEANUP = BUF_INIT(WINDOW_MAX_BYTES);
		int r = chunk_merge(all, n, from_us, to_us, &out, &result, &bad);
		if (r == 0) {
			struct buf old = *minutes;
			*minutes = out;
			out = old;
			return 0;
		}
		if ((r != -EBADMSG && r != -EPROTO) || bad == 0)
			return r;
		for (uint32_t i = bad; i + 1 < n; i++)
			all[i] = all[i + 1];
		n--;
	}
}

static int put_minutes(struct compacting *c)
{
	int r = 0;
	for (enum rollup_statistic s = ROLLUP_LAST; r == 0 && s < ROLLUP_END; s++)
		r = keep_minutes(c, s);
	for (enum rollup_statistic s = ROLLUP_LAST; r == 0 && s < ROLLUP_END; s++) {
		const struct buf *bytes = &c->merged.minutes[s];
		if (bytes->len == 0 && c->has_minutes[s])
			bytes = &c->merged.no_minutes;
		if (bytes->len == 0)
			continue;
		c->result.minute_chunks++;
		c->result.minute_bytes += bytes->len;
		r = add_new(c, STORE_TIER_MINUTE, s, bytes);
	}
	return r;
}

int compact_window(const struct compact_job *job, struct compact_result *ret)
{
	struct compacting c __attribute__((cleanup(compacting_free))) = {.job = job};
	int r = read_window(&c);
	if (r == 0 && c.n > 0)
		r = look_at(&c);
	if (r == 0 && c.left)
		return leave(&c, ret);
	if (r == 0 && c.n > 0)
		r = window_merge(c.inputs, c.n, job->tier == STORE_TIER_RAW, job->stop, &c.merged);
	if (r < 0)
		return r;
	c.old = calloc(c.n + 1, sizeof(*c.old));
	c.new = calloc(c.n + MAX_NEW, sizeof(*c.new));
	if (!c.old || !c.new)
		return -ENOMEM;
	keep_damaged(&c);
	r = put_merged(&c);
	if (r == 0 && c.n_old > 0)
		r = put_minutes(&c);
	if (r == 0 && c.n_old > 0) {
		c.result.samples = c.merged.samples;
		r = store_replace(job->store, job->window->host_id, c.old, c.n_old, c.new, c.n_new);
	}
	if (r == 0)
		*ret = c.result;
	return r;
}
