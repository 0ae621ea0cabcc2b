/* Counters are read while they grow. Each one is right at some moment of the reading; a histogram's count may be ahead
 * of `operations` by what completed meanwhile, and they are equal when the device is quiet. */
#include "agent/ebpf/rows.h"

#include "agent/collector.h"

#include <errno.h>
#include <string.h>

static const char *const class_names[BLOCK_IO_CLASSES] = {
	[BLOCK_IO_READ] = "read",
	[BLOCK_IO_WRITE] = "write",
	[BLOCK_IO_FLUSH] = "flush",
	[BLOCK_IO_DISCARD] = "discard",
	[BLOCK_IO_WRITE_ZEROES] = "write_zeroes",
	[BLOCK_IO_OTHER] = "other",
};

const char *block_io_class_name(enum block_io_class class)
{
	return class_names[class];
}

static uint64_t load(const __u64 *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

static uint32_t shards_of(const struct block_io_table *table, unsigned class)
{
	return class < BLOCK_IO_SHARDED ? table->shards : 1;
}

static const struct block_io_row *row_at(const struct block_io_table *table, uint32_t shard, uint32_t slot,
					 unsigned class)
{
	return &table->rows[slot][block_io_row_place(class, shard, table->shards)];
}

static bool in_diskstats(const struct block_io_table *table, unsigned class)
{
	return class != BLOCK_IO_FLUSH || !table->without_flushes;
}

uint64_t rows_operations(const struct block_io_table *table, uint32_t slot)
{
	uint64_t sum = 0;
	if (!table->rows[slot])
		return 0;
	for (unsigned class = 0; class < BLOCK_IO_CLASSES; class ++) {
		for (uint32_t shard = 0; in_diskstats(table, class) && shard < shards_of(table, class); shard++)
			sum += load(&row_at(table, shard, slot, class)->operations);
	}
	return sum;
}

static void add_counts(const __u64 *from, __u64 *to, size_t n)
{
	for (size_t i = 0; i < n; i++)
		to[i] += load(&from[i]);
}

static void add_latency(const struct block_io_latency *from, struct block_io_latency *to)
{
	to->sum += load(&from->sum);
	add_counts(from->counts, to->counts, BLOCK_IO_LATENCY_BUCKETS);
}

void rows_sum(const struct block_io_table *table, uint32_t slot, enum block_io_class class, struct block_io_row *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (!table->rows[slot])
		return;
	for (uint32_t shard = 0; shard < shards_of(table, class); shard++) {
		const struct block_io_row *row = row_at(table, shard, slot, class);
		uint64_t operations = load(&row->operations);
		ret->bytes += load(&row->bytes);
		ret->errors += load(&row->errors);
		ret->requeues += load(&row->requeues);
		ret->operations += operations;
		if (operations == 0)
			continue;
		add_latency(&row->request, &ret->request);
		add_latency(&row->device, &ret->device);
		add_latency(&row->queue, &ret->queue);
		ret->size.sum += load(&row->size.sum);
		add_counts(row->size.counts, ret->size.counts, BLOCK_IO_SIZE_BUCKETS);
	}
}

/* counts[0] is bucket `first` of the scheme. */
static int fill_histogram(uint64_t sum, const __u64 *counts, size_t buckets, unsigned first, struct arena *arena,
			  Sonde__V1__Histogram **ret)
{
	size_t n = 0;
	for (size_t i = 0; i < buckets; i++)
		n += counts[i] != 0;
	Sonde__V1__Histogram *message = arena_message(arena, &sonde__v1__histogram__descriptor);
	if (!message)
		return -ENOMEM;
	SET(message, scheme, SONDE__V1__HISTOGRAM__SCHEME__SCHEME_LOG_LINEAR_4);
	SET(message, sum, sum);
	if (n > 0) {
		message->indexes = arena_alloc(arena, n * sizeof(*message->indexes));
		message->counts = arena_alloc(arena, n * sizeof(*message->counts));
		if (!message->indexes || !message->counts)
			return -ENOMEM;
	}
	for (unsigned i = 0; i < buckets; i++) {
		if (counts[i] == 0)
			continue;
		message->indexes[message->n_indexes++] = first + i;
		message->counts[message->n_counts++] = counts[i];
	}
	*ret = message;
	return 0;
}

static int fill_latency(const struct block_io_latency *latency, struct arena *arena, Sonde__V1__Histogram **ret)
{
	return fill_histogram(latency->sum, latency->counts, BLOCK_IO_LATENCY_BUCKETS, BLOCK_IO_LATENCY_FIRST, arena,
			      ret);
}

static int fill_operation(const struct block_io_row *row, enum block_io_class class, struct arena *arena,
			  Sonde__V1__BlockIoOperation *message)
{
	message->operation = arena_strndup(arena, class_names[class], strlen(class_names[class]));
	if (!message->operation)
		return -ENOMEM;
	SET(message, operations, row->operations);
	SET(message, bytes, row->bytes);
	SET(message, errors, row->errors);
	SET(message, requeues, row->requeues);
	int r = fill_latency(&row->request, arena, &message->request_latency_ns);
	if (r == 0)
		r = fill_latency(&row->device, arena, &message->device_latency_ns);
	if (r == 0)
		r = fill_latency(&row->queue, arena, &message->queue_latency_ns);
	if (r == 0)
		r = fill_histogram(row->size.sum, row->size.counts, BLOCK_IO_SIZE_BUCKETS, BLOCK_IO_SIZE_FIRST, arena,
				   &message->request_size_bytes);
	return r;
}

int rows_operations_fill(const struct block_io_table *table, uint32_t slot, struct arena *arena,
			 Sonde__V1__BlockIoDevice *device, uint64_t *ret_operations)
{
	Sonde__V1__BlockIoOperation **messages =
		(void *)arena_messages(arena, &sonde__v1__block_io_operation__descriptor, BLOCK_IO_CLASSES);
	if (!messages)
		return -ENOMEM;
	device->operations = messages;
	device->n_operations = 0;
	uint64_t operations = 0;
	for (unsigned class = 0; class < BLOCK_IO_CLASSES; class ++) {
		struct block_io_row sum;
		rows_sum(table, slot, class, &sum);
		if (sum.operations == 0 && sum.bytes == 0 && sum.errors == 0 && sum.requeues == 0)
			continue;
		int r = fill_operation(&sum, class, arena, messages[device->n_operations]);
		if (r < 0)
			return r;
		device->n_operations++;
		if (in_diskstats(table, class))
			operations += sum.operations;
	}
	*ret_operations = operations;
	return 0;
}
