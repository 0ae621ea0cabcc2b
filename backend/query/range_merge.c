/* Lines that nobody had yet, nearly all, change hands as they are. */
#include "backend/query/range_merge.h"

#include "common/histogram.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void fold(enum range_aggregate aggregate, struct range_group *to, const struct range_group *from, size_t at)
{
	double *point = &to->values[at], value = from->values[at];
	if (from->counts[at] == 0)
		return;
	if (to->counts[at] == 0)
		*point = value;
	else if (aggregate == RANGE_OF_MIN)
		*point = value < *point ? value : *point;
	else if (aggregate == RANGE_OF_MAX)
		*point = value > *point ? value : *point;
	else
		*point += value;
	to->counts[at] += from->counts[at];
}

static void add_histogram(struct range_group *to, struct range_group *from, size_t at)
{
	uint64_t *slots = from->histograms[at];
	if (!slots)
		return;
	if (!to->histograms[at]) {
		to->histograms[at] = slots;
		from->histograms[at] = NULL;
		return;
	}
	for (size_t i = 0; i < HISTOGRAM_BUCKETS + 1; i++)
		to->histograms[at][i] += slots[i];
}

static struct range_group *find(const struct range_result *whole, const struct range_group *group)
{
	for (size_t i = 0; i < whole->n_groups; i++) {
		struct range_group *other = &whole->groups[i];
		if (other->key_len == group->key_len && memcmp(other->key, group->key, group->key_len) == 0)
			return other;
	}
	return NULL;
}

static int merge_groups(enum range_aggregate aggregate, struct range_result *whole, struct range_result *part)
{
	for (size_t i = 0; i < part->n_groups; i++) {
		struct range_group *group = &part->groups[i], *to = find(whole, group);
		if (!to) {
			int r = range_group_room(whole, group->histograms != NULL);
			if (r < 0)
				return r;
			whole->groups[whole->n_groups++] = *group;
			*group = (struct range_group){0};
			continue;
		}
		for (size_t k = 0; k < whole->points; k++)
			fold(aggregate, to, group, k);
		for (size_t k = 0; to->histograms && group->histograms && k < whole->points; k++)
			add_histogram(to, group, k);
	}
	return 0;
}

static void merge_gaps(struct range_result *whole, struct range_result *part)
{
	size_t n = RANGE_MAX_GAPS - whole->n_gaps;
	n = n < part->n_gaps ? n : part->n_gaps;
	if (n == 0)
		return;
	if (!whole->gaps) {
		whole->gaps = part->gaps;
		part->gaps = NULL;
	} else {
		memcpy(whole->gaps + whole->n_gaps, part->gaps, n * sizeof(*part->gaps));
	}
	whole->n_gaps += n;
}

int range_merge(enum range_aggregate aggregate, struct range_result *whole, struct range_result *part)
{
	int r = merge_groups(aggregate, whole, part);
	merge_gaps(whole, part);
	whole->samples += part->samples;
	whole->snapshots += part->snapshots;
	whole->known |= part->known;
	return r;
}
