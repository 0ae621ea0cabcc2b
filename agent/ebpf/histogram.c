#include "agent/ebpf/histogram.h"

#include "agent/collector.h"

#include <errno.h>

void histogram_add(const struct probe_histogram *from, struct probe_histogram *to)
{
	to->sum += __atomic_load_n(&from->sum, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		to->counts[i] += __atomic_load_n(&from->counts[i], __ATOMIC_RELAXED);
}

int histogram_fill(const struct probe_histogram *from, struct arena *arena, Sonde__V1__Histogram **ret)
{
	size_t n = 0;
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		n += from->counts[i] != 0;
	Sonde__V1__Histogram *message = arena_message(arena, &sonde__v1__histogram__descriptor);
	if (!message)
		return -ENOMEM;
	SET(message, scheme, SONDE__V1__HISTOGRAM__SCHEME__SCHEME_LOG_LINEAR_4);
	SET(message, sum, from->sum);
	if (n > 0) {
		message->indexes = arena_alloc(arena, n * sizeof(*message->indexes));
		message->counts = arena_alloc(arena, n * sizeof(*message->counts));
		if (!message->indexes || !message->counts)
			return -ENOMEM;
	}
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		if (from->counts[i] == 0)
			continue;
		message->indexes[message->n_indexes++] = i;
		message->counts[message->n_counts++] = from->counts[i];
	}
	*ret = message;
	return 0;
}
