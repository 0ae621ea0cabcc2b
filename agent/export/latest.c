/* Three places: what is newest, what a reader holds, and what is written next. Nobody copies under the lock. */
#include "agent/export/latest.h"

#include "agent/sampler.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/schema/snapshot_index.h"
#include "common/wire.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#define PLACES 3
#define NONE (-1)
#define FIRST_SECTION 10 /* field numbers of Snapshot below are its head */
#define STATE_FIELD 1	 /* of every section */
#define CODE_FIELD 1	 /* of State */

struct place {
	struct buf bytes;
	struct snapshot_index index;
	uint64_t number, taken_ns;
};

struct latest {
	pthread_mutex_t lock; /* of those two */
	int newest, held;
	uint64_t published; /* the publishing thread's own */
	struct place places[PLACES];
};

struct latest *latest_new(void)
{
	struct latest *latest = calloc(1, sizeof(*latest));
	if (!latest)
		return NULL;
	pthread_mutex_init(&latest->lock, NULL);
	latest->newest = latest->held = NONE;
	for (size_t i = 0; i < PLACES; i++) /* old sections may stand beside new ones */
		latest->places[i].bytes = BUF_INIT(2 * SAMPLER_SNAPSHOT_MAX);
	return latest;
}

void latest_free(struct latest *latest)
{
	if (!latest)
		return;
	for (size_t i = 0; i < PLACES; i++)
		buf_free(&latest->places[i].bytes);
	pthread_mutex_destroy(&latest->lock);
	free(latest);
}

/* The section's bytes end with a state or begin with it; it is there once. */
static bool was_not_due(const struct wire_field *section)
{
	struct wire_reader reader = wire_reader(section->data, section->len);
	struct wire_field field;
	while (wire_next(&reader, &field) > 0) {
		if (field.number != STATE_FIELD || field.type != WIRE_BYTES)
			continue;
		struct wire_reader state = wire_reader(field.data, field.len);
		while (wire_next(&state, &field) > 0) {
			if (field.number == CODE_FIELD && field.type == WIRE_VARINT)
				return field.value == SONDE__V1__STATE__CODE__CODE_NOT_DUE;
		}
		return false;
	}
	return false;
}

static const struct snapshot_slice *find(const struct place *place, uint32_t number)
{
	for (size_t i = 0; place && i < place->index.n_sections; i++) {
		if (place->index.sections[i].number == number)
			return &place->index.sections[i];
	}
	return NULL;
}

static int merge(const struct place *before, const uint8_t *data, size_t len, struct buf *out)
{
	struct wire_reader reader = wire_reader(data, len);
	struct wire_field field;
	int r;
	while ((r = wire_next(&reader, &field)) > 0) {
		const uint8_t *from = field.begin;
		size_t n = (size_t)(reader.p - field.begin);
		const struct snapshot_slice *old = NULL;
		if (field.number >= FIRST_SECTION && field.type == WIRE_BYTES && was_not_due(&field))
			old = find(before, field.number);
		if (old) {
			from = before->bytes.data + old->offset;
			n = old->len;
		}
		r = buf_append(out, from, n);
		if (r < 0)
			return r;
	}
	return r;
}

int latest_publish(struct latest *latest, const uint8_t *data, size_t len)
{
	pthread_mutex_lock(&latest->lock);
	int newest = latest->newest, held = latest->held, at = 0;
	pthread_mutex_unlock(&latest->lock);
	/* A reader may take the newest meanwhile, never the one that is written to. */
	while (at == newest || at == held)
		at++;
	struct place *place = &latest->places[at];
	buf_reset(&place->bytes);
	int r = merge(newest != NONE ? &latest->places[newest] : NULL, data, len, &place->bytes);
	if (r == 0)
		r = snapshot_index_parse(place->bytes.data, place->bytes.len, &place->index);
	if (r < 0)
		return r;
	place->number = ++latest->published;
	place->taken_ns = clock_monotonic_ns();
	pthread_mutex_lock(&latest->lock);
	latest->newest = at;
	pthread_mutex_unlock(&latest->lock);
	return 0;
}

struct latest_snapshot latest_get(struct latest *latest)
{
	pthread_mutex_lock(&latest->lock);
	int at = latest->held = latest->newest;
	pthread_mutex_unlock(&latest->lock);
	if (at == NONE)
		return (struct latest_snapshot){.data = NULL};
	const struct place *place = &latest->places[at];
	return (struct latest_snapshot){
		.data = place->bytes.data,
		.len = place->bytes.len,
		.number = place->number,
		.taken_ns = place->taken_ns,
		.interval_ms = place->index.interval_ms,
	};
}

void latest_put(struct latest *latest)
{
	pthread_mutex_lock(&latest->lock);
	latest->held = NONE;
	pthread_mutex_unlock(&latest->lock);
}
