#include "backend/archive/archive_file.h"
#include "backend/archive/archive_format.h"
#include "backend/archive/progress.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

struct place {
	char directory[64], path[96], part[112];
};

static int setup(void **state)
{
	static struct place p;
	snprintf(p.directory, sizeof(p.directory), "/tmp/sonde-archive-XXXXXX");
	assert_non_null(mkdtemp(p.directory));
	snprintf(p.path, sizeof(p.path), "%s/a", p.directory);
	snprintf(p.part, sizeof(p.part), "%s.part", p.path);
	*state = &p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;
	(void)unlink(p->path);
	(void)unlink(p->part);
	assert_int_equal(rmdir(p->directory), 0);
	return 0;
}

static void make(const struct place *p, int n, size_t len)
{
	struct archive_writer *w;
	uint8_t *body = calloc(1, len + 1);
	assert_non_null(body);
	assert_int_equal(archive_create(p->path, &w), 0);
	for (int i = 0; i < n; i++) {
		memset(body, i, len);
		assert_int_equal(archive_put(w, 1 + (unsigned)i % 3, "head", 4, body, len), 0);
	}
	assert_int_equal(archive_finish(w), 0);
	archive_close(w);
	free(body);
}

static uint8_t *slurp(const struct place *p, size_t *ret_len)
{
	struct stat st;
	FILE *f = fopen(p->path, "rb");
	assert_non_null(f);
	assert_int_equal(fstat(fileno(f), &st), 0);
	uint8_t *data = malloc((size_t)st.st_size);
	assert_int_equal(fread(data, 1, (size_t)st.st_size, f), st.st_size);
	fclose(f);
	*ret_len = (size_t)st.st_size;
	return data;
}

static void spit(const struct place *p, const uint8_t *data, size_t len)
{
	FILE *f = fopen(p->path, "wb");
	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

/* 0 when all of it is good; how many records came before in any case. */
static int read_all(const struct place *p, size_t *ret_n)
{
	struct archive_reader *a;
	struct archive_record record;
	char error[ARCHIVE_ERROR_SIZE] = "";
	int r = archive_open(p->path, &a, error);
	*ret_n = 0;
	if (r == 0) {
		while ((r = archive_next(a, &record, error)) == 1)
			++*ret_n;
		if (r < 0)
			assert_int_equal(archive_next(a, &record, error), r);
		else
			assert_int_equal(archive_next(a, &record, error), 0);
		archive_reader_close(a);
	}
	if (r < 0)
		assert_true(strlen(error) > 0);
	return r;
}

static void test_what_is_put_comes_back(void **state)
{
	struct place *p = *state;
	struct archive_reader *a;
	struct archive_record record;
	struct stat st;
	char error[ARCHIVE_ERROR_SIZE];
	make(p, 100, 60000);
	assert_int_equal(stat(p->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(st.st_nlink, 1);
	assert_int_equal(access(p->part, F_OK), -1);
	assert_int_equal(archive_open(p->path, &a, error), 0);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 100; i++) {
			assert_int_equal(archive_next(a, &record, error), 1);
			assert_int_equal(record.type, 1 + i % 3);
			assert_int_equal(record.len, 60004);
			assert_memory_equal(record.data, "head", 4);
			assert_int_equal(record.data[4], i);
			assert_int_equal(record.data[60003], i);
		}
		assert_int_equal(archive_next(a, &record, error), 0);
		assert_int_equal(archive_position(a), archive_size(a));
		assert_int_equal(archive_rewind(a), 0);
	}
	archive_reader_close(a);
}

static void test_nothing_and_empty_records(void **state)
{
	struct place *p = *state;
	size_t n;
	make(p, 0, 0);
	assert_int_equal(read_all(p, &n), 0);
	assert_int_equal(n, 0);
	unlink(p->path);
	make(p, 3, 0);
	assert_int_equal(read_all(p, &n), 0);
	assert_int_equal(n, 3);
}

static void test_cut_off_anywhere(void **state)
{
	struct place *p = *state;
	size_t len, n;
	make(p, 5, 100);
	uint8_t *data = slurp(p, &len);
	for (size_t i = 0; i < len; i++) {
		spit(p, data, i);
		assert_int_equal(read_all(p, &n), -EBADMSG);
	}
	free(data);
}

static void test_any_bit_wrong(void **state)
{
	struct place *p = *state;
	size_t len, n, harmless = 0;
	make(p, 5, 100);
	uint8_t *data = slurp(p, &len);
	for (size_t i = 0; i < len * 8; i++) {
		data[i / 8] ^= (uint8_t)(1u << i % 8);
		spit(p, data, len);
		if (read_all(p, &n) == 0) { /* zstd has bits that mean nothing; all checksums were right */
			harmless++;
			assert_int_equal(n, 5);
		}
		data[i / 8] ^= (uint8_t)(1u << i % 8);
	}
	assert_true(harmless * 50 < len * 8);
	free(data);
}

static void test_newer_and_foreign(void **state)
{
	struct place *p = *state;
	struct archive_reader *a;
	char error[ARCHIVE_ERROR_SIZE];
	size_t len;
	make(p, 1, 1);
	uint8_t *data = slurp(p, &len);
	data[8] = ARCHIVE_VERSION + 1;
	archive_put32(data + 12, (uint32_t)crc32(0, data, 12));
	spit(p, data, len);
	assert_int_equal(archive_open(p->path, &a, error), -ENOTSUP);
	assert_non_null(strstr(error, "newer"));
	free(data);
	spit(p, (const uint8_t *)"SQLite format 3", 16);
	assert_int_equal(archive_open(p->path, &a, error), -EBADMSG);
	unlink(p->path);
	assert_int_equal(archive_open(p->path, &a, error), -ENOENT);
	assert_int_equal(archive_open(p->directory, &a, error), -EINVAL);
}

/* Frames that changed places, or one that is there twice, are good each for itself. */
static void test_frames_out_of_order(void **state)
{
	struct place *p = *state;
	size_t len, n;
	make(p, 2, 1 << 20);
	uint8_t *data = slurp(p, &len);
	uint8_t *first = data + ARCHIVE_HEADER_SIZE;
	size_t one = ARCHIVE_FRAME_HEAD + archive_get32(first);
	size_t two = ARCHIVE_FRAME_HEAD + archive_get32(first + one);
	uint8_t *swapped = malloc(len);
	assert_non_null(swapped);
	memcpy(swapped, data, len);
	memcpy(swapped + ARCHIVE_HEADER_SIZE, first + one, two);
	memcpy(swapped + ARCHIVE_HEADER_SIZE + two, first, one);
	spit(p, swapped, len);
	assert_int_equal(read_all(p, &n), -EBADMSG);
	assert_int_equal(n, 2);
	free(swapped);
	free(data);
}

static void test_two_writers_and_what_is_in_the_way(void **state)
{
	struct place *p = *state;
	struct archive_writer *w, *other;
	spit(p, (const uint8_t *)"mine", 4);
	assert_int_equal(archive_create(p->path, &w), -EEXIST);
	unlink(p->path);
	assert_int_equal(archive_create(p->path, &w), 0);
	assert_int_equal(archive_create(p->path, &other), -EWOULDBLOCK);
	assert_int_equal(access(p->part, F_OK), 0);
	spit(p, (const uint8_t *)"mine", 4);
	assert_int_equal(archive_finish(w), -EEXIST);
	archive_close(w);
	assert_int_equal(access(p->part, F_OK), -1);
	assert_int_equal(access(p->path, F_OK), 0);
	/* What somebody left who was killed. */
	unlink(p->path);
	FILE *f = fopen(p->part, "wb");
	assert_non_null(f);
	for (int i = 0; i < 10000; i++)
		fputs("left over ", f);
	fclose(f);
	size_t n;
	make(p, 1, 10);
	assert_int_equal(read_all(p, &n), 0);
}

static void test_the_bar(void **state)
{
	char text[160];
	progress_text(text, sizeof(text), "backup", 50, 100, " bytes");
	assert_string_equal(text, "backup [###############---------------]  50%  50 of 100 bytes");
	progress_text(text, sizeof(text), "backup", 150, 100, "");
	assert_string_equal(text, "backup [##############################] 100%  150 of 150");
	progress_text(text, sizeof(text), "backup", 7, 0, "");
	assert_string_equal(text, "backup: 7");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_what_is_put_comes_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nothing_and_empty_records, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cut_off_anywhere, setup, teardown),
		cmocka_unit_test_setup_teardown(test_any_bit_wrong, setup, teardown),
		cmocka_unit_test_setup_teardown(test_newer_and_foreign, setup, teardown),
		cmocka_unit_test_setup_teardown(test_frames_out_of_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_two_writers_and_what_is_in_the_way, setup, teardown),
		cmocka_unit_test(test_the_bar),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
