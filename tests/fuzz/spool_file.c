/* The spool over a file of arbitrary contents. The first byte of the input says how the rest is taken: as the file; as
 * changes to a good one (offset in two bytes, value); or as such changes with all checksums set right behind them, so
 * that what only they keep out gets in. */
#include "agent/delivery/crc32c.h"
#include "agent/delivery/spool.h"
#include "agent/delivery/spool_format.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RECORDS 5u
#define LEN 90u
#define RECORD_BYTES ((sizeof(struct spool_record) + LEN + 7) & ~(size_t)7)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RAW, CHANGED, SUMMED, MODES };

static struct spool *open_spool(const char *path, uint8_t instance)
{
	struct spool_options options = {.path = path, .bytes = SPOOL_MIN_BYTES};
	struct spool_report report;
	struct spool *spool;
	memset(options.origin.instance, instance, sizeof(options.origin.instance));
	if (spool_open(&options, &spool, &report) < 0)
		abort();
	return spool;
}

static void write_file(const char *path, const uint8_t *data, size_t len)
{
	FILE *f = fopen(path, "wb");
	/* An empty input may come without an address. */
	if (!f || (len > 0 && fwrite(data, 1, len, f) != len) || fclose(f) != 0)
		abort();
}

/* The used part of a good file: the header and five records. */
static void read_good(const char *path, uint8_t *image, size_t len)
{
	uint8_t payload[LEN] = {0x5a};
	write_file(path, NULL, 0);
	struct spool *spool = open_spool(path, 1);
	for (uint64_t i = 1; i <= RECORDS; i++) {
		if (spool_push(spool, i, payload, sizeof(payload)) < 0)
			abort();
	}
	if (spool_remove(spool, NULL, 2, 2) != 1)
		abort();
	spool_close(spool);
	FILE *f = fopen(path, "rb");
	if (!f || fread(image, 1, len, f) != len || fclose(f) != 0)
		abort();
}

static void set_sums(uint8_t *image)
{
	struct crc32c crc;
	struct spool_header header;
	struct spool_record record;
	crc32c_init(&crc);
	for (size_t slot = 0; slot < 2; slot++) {
		memcpy(&header, image + slot * SPOOL_HEADER_SLOT, sizeof(header));
		header.crc = crc32c_of(&crc, 0, &header, offsetof(struct spool_header, crc));
		memcpy(image + slot * SPOOL_HEADER_SLOT, &header, sizeof(header));
	}
	for (size_t i = 0; i < RECORDS; i++) {
		uint8_t *at = image + SPOOL_RING + i * RECORD_BYTES;
		memcpy(&record, at, sizeof(record));
		record.payload_crc = crc32c_of(&crc, 0, at + sizeof(record), LEN);
		record.crc = crc32c_of(&crc, 0, &header.id, sizeof(header.id));
		record.crc = crc32c_of(&crc, record.crc, &record, offsetof(struct spool_record, crc));
		memcpy(at, &record, sizeof(record));
	}
}

/* Everything there is to do, over all instances. */
static void use(struct spool *spool)
{
	struct origin origin;
	uint8_t payload[200] = {0};
	for (uint64_t i = 1; i <= 3; i++) {
		if (spool_push(spool, i, payload, sizeof(payload)) < 0)
			abort();
	}
	while (spool_backlog(spool, &origin)) {
		uint64_t after = 0, sequence;
		void *data;
		size_t len;
		while (spool_next(spool, origin.instance, after, &sequence, &data, &len) == 1) {
			if (len > 0 && memchr(data, 0xa5, len) == (uint8_t *)data + len) /* reads all of it */
				abort();
			free(data);
			if (sequence <= after)
				abort();
			after = sequence;
		}
		/* What could not be read has been settled by the walk. */
		struct spool_stats before = spool_stats(spool);
		uint64_t removed = spool_remove(spool, origin.instance, 0, UINT64_MAX);
		if (spool_stats(spool).snapshots + removed != before.snapshots)
			abort();
	}
	struct spool_stats stats = spool_stats(spool);
	if (stats.own != 3 || stats.snapshots != 3 || spool_newest(spool) != 3)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[] = "/tmp/sonde-fuzz-spool-XXXXXX";
	uint8_t image[SPOOL_RING + RECORDS * RECORD_BYTES + 64];
	int fd = size > 0 ? mkstemp(path) : -1;
	if (fd < 0)
		return 0;
	close(fd);
	unsigned mode = data[0] % MODES;
	if (mode == RAW) {
		write_file(path, data + 1, size - 1);
	} else {
		read_good(path, image, sizeof(image));
		for (size_t i = 1; i + 2 < size; i += 3)
			image[(data[i] | data[i + 1] << 8) % sizeof(image)] = data[i + 2];
		if (mode == SUMMED)
			set_sums(image);
		write_file(path, image, sizeof(image));
	}
	struct spool *spool = open_spool(path, 2);
	use(spool);
	spool_close(spool);
	spool = open_spool(path, 3); /* and what it left behind can be opened again */
	/* Records that contradict each other under good checksums may hide some. */
	if (mode != SUMMED && spool_stats(spool).snapshots != 3)
		abort();
	spool_close(spool);
	unlink(path);
	return 0;
}
