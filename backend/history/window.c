/* A chunk that is damaged stays as it is: merged, what is lost of it could not be told from what never was. The minutes
 * take what can be read of it. Finding out which chunk it is costs only when one is. */
#include "backend/history/window.h"

#include "backend/columns/chunk.h"
#include "backend/columns/chunk_merge.h"
#include "backend/columns/gain.h"
#include "backend/columns/ticks.h"

#include <errno.h>
#include <stdlib.h>

#define LITTLE 4 /* less than one byte of so many */

static bool is_damage(int error)
{
	return error == -EBADMSG || error == -EPROTO;
}

static bool stopped(const atomic_bool *stop)
{
	return stop && atomic_load_explicit(stop, memory_order_relaxed);
}

static bool go_on(void *arg)
{
	return !stopped(*(const atomic_bool **)arg);
}

/* Older generations first; more than one merge takes are merged in turns. Which are left out is said. */
static int merge_all(const struct chunk_bytes *chunks, size_t n, const atomic_bool *stop, struct buf *minutes,
		     struct buf *out, struct chunk_merge_result *result, size_t *ret_bad)
{
	struct buf so_far BUF_CLEANUP = BUF_INIT(WINDOW_MAX_BYTES);
	struct chunk_bytes turn[CHUNK_MERGE_MAX];
	struct chunk_merge_result sum = {0};
	const struct columns_patience patience = {.go_on = go_on, .arg = &stop};
	size_t next = 0;
	do {
		struct buf merged BUF_CLEANUP = BUF_INIT(WINDOW_MAX_BYTES);
		struct chunk_merge_result one;
		uint32_t k = 0, bad = 0, before = so_far.len > 0;
		if (before)
			turn[k++] = (struct chunk_bytes){.data = so_far.data, .len = so_far.len};
		while (k < CHUNK_MERGE_MAX && next + k - before < n) {
			turn[k] = chunks[next + k - before];
			k++;
		}
		if (stopped(stop))
			return -ECANCELED;
		const struct chunk_merge_how how = {.from_us = INT64_MIN,
						    .to_us = INT64_MAX,
						    .patience = &patience,
						    .minutes = next + k - before == n ? minutes : NULL};
		int r = chunk_merge_so(turn, k, &how, &merged, &one, &bad);
		if (r < 0) {
			*ret_bad = next + bad - before;
			return r;
		}
		sum.damaged_sections += one.damaged_sections;
		sum.damaged_series += one.damaged_series;
		sum.samples = one.samples;
		next += k - before;
		struct buf swap = so_far;
		so_far = merged;
		merged = swap;
	} while (next < n);
	*result = sum;
	*out = so_far;
	so_far = BUF_INIT(0);
	return 0;
}

/* Chunks that are whole, or of which at least header and ticks are, into one. Those of which these are not are marked.
 */
static int merge_some(struct window_input *inputs, size_t n, const atomic_bool *stop, struct buf *minutes,
		      struct buf *out, struct chunk_merge_result *result)
{
	struct chunk_bytes *chunks = calloc(n + 1, sizeof(*chunks));
	size_t *which = calloc(n + 1, sizeof(*which)), bad = 0;
	int r = chunks && which ? -EBADMSG : -ENOMEM;
	while (is_damage(r)) {
		size_t k = 0;
		for (size_t i = 0; i < n; i++) {
			if (inputs[i].damaged)
				continue;
			which[k] = i;
			chunks[k++] = (struct chunk_bytes){.data = inputs[i].data, .len = inputs[i].len};
		}
		buf_free(out);
		*result = (struct chunk_merge_result){0};
		r = k > 0 ? merge_all(chunks, k, stop, minutes, out, result, &bad) : 0;
		if (is_damage(r))
			inputs[which[bad]].damaged = true;
	}
	free(chunks);
	free(which);
	return r;
}

/* Each by itself shows which of them is damaged in parts. */
static int find_damaged(struct window_input *inputs, size_t n, const atomic_bool *stop)
{
	for (size_t i = 0; i < n; i++) {
		struct chunk_bytes one = {.data = inputs[i].data, .len = inputs[i].len};
		struct buf out BUF_CLEANUP = BUF_INIT(WINDOW_MAX_BYTES);
		struct chunk_merge_result result;
		size_t bad;
		if (inputs[i].damaged)
			continue;
		int r = merge_all(&one, 1, stop, NULL, &out, &result, &bad);
		if (r < 0)
			return r;
		inputs[i].damaged = result.damaged_sections + result.damaged_series > 0;
	}
	return 0;
}

/* The minutes' ticks with nothing at them. */
static int put_no_minutes(const struct buf *last, struct buf *out)
{
	struct chunk_reader chunk;
	int r = chunk_open(last->data, last->len, &chunk);
	if (r < 0)
		return r;
	struct columns_tick *ticks = calloc(chunk.n_ticks + (size_t)1, sizeof(*ticks));
	r = ticks ? ticks_take(chunk.ticks, chunk.ticks_len, chunk.n_ticks, ticks) : -ENOMEM;
	if (r == 0)
		r = chunk_put(ticks, chunk.n_ticks, NULL, 0, out);
	free(ticks);
	return r;
}

int window_merge(struct window_input *inputs, size_t n, bool minutes, const atomic_bool *stop,
		 struct window_output *ret)
{
	struct window_output out __attribute__((cleanup(window_output_free))) = {
		.merged = BUF_INIT(WINDOW_MAX_BYTES), .no_minutes = BUF_INIT(WINDOW_MAX_BYTES)};
	struct chunk_merge_result result = {0};
	for (unsigned s = 0; s < ROLLUP_END; s++)
		out.minutes[s] = BUF_INIT(WINDOW_MAX_BYTES);
	for (size_t i = 0; i < n; i++)
		inputs[i].damaged = false;
	int r = merge_some(inputs, n, stop, minutes ? out.minutes : NULL, &out.merged, &result);
	if (r == 0 && out.minutes[ROLLUP_LAST].len > 0)
		r = put_no_minutes(&out.minutes[ROLLUP_LAST], &out.no_minutes);
	if (r == 0 && result.damaged_sections + result.damaged_series > 0) {
		r = find_damaged(inputs, n, stop);
		if (r == 0)
			r = merge_some(inputs, n, stop, NULL, &out.merged, &result);
	}
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		out.damaged += inputs[i].damaged;
	out.samples = result.samples;
	*ret = out;
	out = (struct window_output){0};
	return 0;
}

int window_saves_little(const struct window_input *inputs, size_t n, bool *ret)
{
	struct gain gain __attribute__((cleanup(gain_free))) = {0};
	size_t different;
	int r = 0;
	for (size_t i = 0; r == 0 && i < n; i++) {
		const struct chunk_bytes chunk = {.data = inputs[i].data, .len = inputs[i].len};
		r = gain_add(&gain, &chunk);
	}
	if (r == -ENOMEM)
		return r;
	*ret = r == 0 && gain_saved(&gain, &different) < gain.bytes / LITTLE;
	return 0;
}

void window_output_free(struct window_output *output)
{
	buf_free(&output->merged);
	buf_free(&output->no_minutes);
	for (unsigned s = 0; s < ROLLUP_END; s++)
		buf_free(&output->minutes[s]);
}
