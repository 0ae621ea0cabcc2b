/* A spool in a file of its own, and snapshots whose contents follow from instance and sequence, so that a wrong one
 * shows. */
#pragma once

#include "agent/delivery/spool.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
	char path[64];
	struct spool *spool;
	struct spool_report report;
};

static inline struct spool_options fixture_options(const struct fixture *f, uint8_t instance, uint64_t bytes)
{
	struct spool_options options = {.path = f->path, .bytes = bytes};
	memset(options.host_id, 7, sizeof(options.host_id));
	memset(options.origin.instance, instance, sizeof(options.origin.instance));
	memset(options.origin.boot_id, 1, sizeof(options.origin.boot_id));
	memset(options.origin.descriptor_hash, instance / 10, sizeof(options.origin.descriptor_hash));
	return options;
}

static inline void fixture_open(struct fixture *f, uint8_t instance)
{
	struct spool_options options = fixture_options(f, instance, SPOOL_MIN_BYTES);
	spool_close(f->spool);
	f->spool = NULL;
	assert_int_equal(spool_open(&options, &f->spool, &f->report), 0);
}

static inline int fixture_make(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	if (!f)
		return -1;
	strcpy(f->path, "/tmp/sonde-spool-XXXXXX");
	int fd = mkstemp(f->path);
	if (fd < 0)
		return -1;
	close(fd);
	*state = f;
	return 0;
}

static inline int fixture_remove(void **state)
{
	struct fixture *f = *state;
	spool_close(f->spool);
	unlink(f->path);
	free(f);
	return 0;
}

static inline void fixture_fill(uint8_t *data, size_t len, uint8_t instance, uint64_t sequence)
{
	uint64_t x = sequence * 0x9e3779b97f4a7c15ull + instance + 1;
	for (size_t i = 0; i < len; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		data[i] = (uint8_t)x;
	}
}

static inline void fixture_push(struct fixture *f, uint8_t instance, uint64_t sequence, size_t len)
{
	uint8_t *data = malloc(len + 1);
	assert_non_null(data);
	fixture_fill(data, len, instance, sequence);
	assert_int_equal(spool_push(f->spool, sequence, data, len), 0);
	free(data);
}

/* Walks what is there of an instance: every payload is right and sequences ascend. The number; *ret_first and *ret_last
 * are set when there is any. */
static inline uint64_t fixture_walk(struct fixture *f, uint8_t instance, bool own, uint64_t *ret_first,
				    uint64_t *ret_last)
{
	uint8_t id[16];
	uint64_t after = 0, n = 0;
	memset(id, instance, sizeof(id));
	for (;;) {
		uint64_t sequence;
		void *data;
		size_t len;
		int r = spool_next(f->spool, own ? NULL : id, after, &sequence, &data, &len);
		assert_in_range(r, 0, 1);
		if (r == 0)
			return n;
		assert_true(sequence > after);
		uint8_t *want = malloc(len + 1);
		assert_non_null(want);
		fixture_fill(want, len, instance, sequence);
		assert_memory_equal(data, want, len);
		free(want);
		free(data);
		if (n == 0 && ret_first)
			*ret_first = sequence;
		if (ret_last)
			*ret_last = sequence;
		after = sequence;
		n++;
	}
}

static inline uint8_t *fixture_image(const struct fixture *f, size_t size)
{
	uint8_t *image = malloc(size);
	int fd = open(f->path, O_RDONLY);
	assert_non_null(image);
	assert_true(fd >= 0);
	assert_int_equal(read(fd, image, size), size);
	close(fd);
	return image;
}

static inline void fixture_restore(const struct fixture *f, const uint8_t *image, size_t size)
{
	struct stat st;
	int fd = open(f->path, O_WRONLY);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	if ((size_t)st.st_size != size)
		assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(write(fd, image, size), size);
	close(fd);
}
