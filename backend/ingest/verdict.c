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
	case VERDICT_TOO_MANY_ROWS:
		return "new rows beyond what a host may bring in a day: find what has ever new names, and leave it out";
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

/* --- values and rows ---------------------------------------------------------------------------------------------- */

struct count {
	size_t values;
	struct row_set *rows;
	uint32_t processes; /* the section's number */
	/* The row before, to know it again: labels are borrowed from the snapshot, where each has its place. */
	struct schema_label_value labels[SCHEMA_MAX_LABELS];
	size_t n_labels;
};

/* Multiplication by an odd number and a shift: spreads what differs in few bits. */
static uint64_t mix(uint64_t hash, uint64_t value)
{
	hash = (hash ^ value) * 0x9e3779b97f4a7c15ull;
	return hash ^ hash >> 29;
}

static uint64_t mix_text(uint64_t hash, const char *text, size_t len)
{
	uint64_t word;
	hash = mix(hash, len);
	for (; len >= sizeof(word); text += sizeof(word), len -= sizeof(word)) {
		memcpy(&word, text, sizeof(word));
		hash = mix(hash, word);
	}
	word = 0;
	memcpy(&word, text, len);
	return mix(hash, word);
}

static bool same_row(const struct count *count, const struct schema_sample *sample)
{
	if (sample->metric->n_numbers == 0 || sample->n_labels != count->n_labels)
		return false;
	for (size_t i = 0; i < count->n_labels; i++) {
		const struct schema_label_value *a = &sample->labels[i], *b = &count->labels[i];
		if (a->name != b->name || a->number != b->number || a->text != b->text)
			return false;
	}
	return true;
}

static uint64_t row_hash(const struct schema_sample *sample)
{
	uint64_t hash = 0;
	if (sample->metric->n_numbers == 0)
		hash = mix_text(hash, sample->metric->name, strlen(sample->metric->name));
	else
		hash = mix(hash, sample->metric->numbers[0]);
	for (size_t i = 0; i < sample->n_labels; i++) {
		const struct schema_label_value *label = &sample->labels[i];
		hash = mix_text(hash, label->name, strlen(label->name));
		hash = label->is_text ? mix_text(hash, label->text, label->len) : mix(hash, label->number);
	}
	return hash;
}

/* A row without labels is there once. */
static bool count_row(struct count *count, const struct schema_sample *sample)
{
	if (!count->rows || (sample->metric->n_numbers > 0 &&
			     (sample->n_labels == 0 || sample->metric->numbers[0] == count->processes)))
		return true;
	if (same_row(count, sample))
		return true;
	memcpy(count->labels, sample->labels, sample->n_labels * sizeof(*sample->labels));
	count->n_labels = sample->n_labels;
	return row_set_add(count->rows, row_hash(sample));
}

static int count_sample(void *arg, const struct schema_sample *sample)
{
	struct count *count = arg;
	if (++count->values > INGEST_MAX_VALUES)
		return VERDICT_TOO_MANY_VALUES;
	return count_row(count, sample) ? 0 : VERDICT_TOO_MANY_ROWS;
}

static enum verdict walk(const struct schema *schema, struct row_set *rows, const uint8_t *data, size_t len)
{
	struct count count = {.rows = rows, .processes = rows ? schema_section(schema, "processes") : 0};
	int r = schema_walk(schema, data, len, count_sample, &count);
	return r < 0 ? VERDICT_MALFORMED : (enum verdict)r;
}

enum verdict verdict_of(const struct schema *schema, struct row_set *rows, const uint8_t instance[16],
			const uint8_t *data, size_t len, uint64_t *ret_sequence, struct snapshot_index *ret_index)
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
		verdict = walk(schema, rows, data, len);
	if (verdict == VERDICT_ACCEPTED) {
		*ret_sequence = index.sequence;
		*ret_index = index;
	} else {
		*ret_sequence = sequence_of(data, len);
	}
	return verdict;
}
