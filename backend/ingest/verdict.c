#include "backend/ingest/verdict.h"

#include "common/wire.h"

#include <string.h>

enum { SNAPSHOT_SEQUENCE = 3 };

const char *verdict_detail(enum verdict verdict)
{
	switch (verdict) {
	case VERDICT_ACCEPTED:
		return "";
	case VERDICT_MALFORMED:
		return "not a snapshot that can be read with the announced schema";
	case VERDICT_TOO_LARGE:
		return "larger than 1 MiB";
	case VERDICT_CONFLICT:
		return "stored before with other contents: two machines share this identity; "
		       "delete the copied agent state directory on one of them";
	case VERDICT_WRONG_INSTANCE:
		return "its instance is not the one Hello announced";
	case VERDICT_TOO_MANY_VALUES:
		return "more than 100,000 values: leave collectors, rows or fields out";
	}
	return "";
}

/* Reads as far as the bytes make sense. */
static uint64_t sequence_of(const uint8_t *data, size_t len)
{
	struct wire_reader reader = wire_reader(data, len);
	struct wire_field f;
	uint64_t sequence = 0;
	while (wire_next(&reader, &f) == 1) {
		if (f.number == SNAPSHOT_SEQUENCE && f.type == WIRE_VARINT)
			sequence = f.value;
	}
	return sequence;
}

static int count_sample(void *arg, const struct schema_sample *sample)
{
	size_t *n = arg;
	return ++*n > INGEST_MAX_VALUES;
}

static enum verdict walk(const struct schema *schema, const uint8_t *data, size_t len)
{
	size_t n = 0;
	int r = schema_walk(schema, data, len, count_sample, &n);
	return r < 0 ? VERDICT_MALFORMED : r > 0 ? VERDICT_TOO_MANY_VALUES : VERDICT_ACCEPTED;
}

enum verdict verdict_of(const struct schema *schema, const uint8_t instance[16], const uint8_t *data, size_t len,
			uint64_t *ret_sequence, struct snapshot_index *ret_index)
{
	struct snapshot_index index;
	enum verdict verdict = VERDICT_ACCEPTED;
	if (len > INGEST_MAX_SNAPSHOT)
		verdict = VERDICT_TOO_LARGE;
	else if (snapshot_index_parse(data, len, &index) < 0 || index.sequence == 0 || index.sequence > INT64_MAX)
		verdict = VERDICT_MALFORMED;
	else if (memcmp(index.instance, instance, sizeof(index.instance)) != 0)
		verdict = VERDICT_WRONG_INSTANCE;
	else
		verdict = walk(schema, data, len);
	if (verdict == VERDICT_ACCEPTED) {
		*ret_sequence = index.sequence;
		*ret_index = index;
	} else {
		*ret_sequence = sequence_of(data, len);
	}
	return verdict;
}
