#include "backend/archive/import.h"

#include "backend/archive/import_build.h"
#include "backend/archive/import_line.h"
#include "backend/archive/progress.h"
#include "backend/registry/schemas.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_BYTES (256u << 10)

struct file {
	enum import_format format;
	const char *path, *host;
	int fd;
	uint64_t size, done;
	struct buf text; /* read and not yet taken */
	size_t next;	 /* in it */
	bool ended;
	uint64_t line;
	crypto_hash_sha256_state hash;
	struct schema *schema;
	struct sorter *sorter;
	struct import_family family;
	struct import_reading reading;
	struct buf key, value;
	bool closed; /* # EOF was there */
	char *error;
};

static int refuse(struct file *f, size_t at, const char *why)
{
	if (at > 0)
		snprintf(f->error, IMPORT_ERROR_SIZE, "%.300s, line %llu, character %zu: %s", f->path,
			 (unsigned long long)f->line, at, why);
	else
		snprintf(f->error, IMPORT_ERROR_SIZE, "%.300s, line %llu: %s", f->path, (unsigned long long)f->line,
			 why);
	return -EBADMSG;
}

/* --- lines -------------------------------------------------------------------------------------------------------- */

static int read_more(struct file *f)
{
	buf_consume(&f->text, f->next);
	f->next = 0;
	int r = buf_reserve(&f->text, READ_BYTES);
	if (r < 0)
		return r;
	ssize_t n;
	do
		n = read(f->fd, f->text.data + f->text.len, READ_BYTES);
	while (n < 0 && errno == EINTR);
	if (n < 0) {
		snprintf(f->error, IMPORT_ERROR_SIZE, "%.300s: %s", f->path, strerror(errno));
		return -EIO;
	}
	(void)crypto_hash_sha256_update(&f->hash, f->text.data + f->text.len, (size_t)n);
	f->text.len += (size_t)n;
	f->done += (uint64_t)n;
	f->ended = n == 0;
	return 0;
}

/* 1 and a line without its newline, 0 at the end. */
static int next_line(struct file *f, char **ret, size_t *ret_len)
{
	size_t seen = 0;
	for (;;) {
		char *begin = (char *)f->text.data + f->next;
		size_t there = f->text.len - f->next;
		char *end = there > seen ? memchr(begin + seen, '\n', there - seen) : NULL;
		if (end) {
			f->line++;
			f->next += (size_t)(end - begin) + 1;
			*ret = begin;
			*ret_len = (size_t)(end - begin);
			return 1;
		}
		if (f->ended && there > 0) {
			f->line++;
			return refuse(f, 0, "the last line does not end: the file is cut off; bring all of it");
		}
		if (f->ended)
			return 0;
		if (there > IMPORT_LINE_MAX) {
			f->line++;
			return refuse(f, 0, "a line of more than 1 MiB: this is no such text");
		}
		seen = there;
		int r = read_more(f);
		if (r < 0)
			return r;
	}
}

/* --- readings ----------------------------------------------------------------------------------------------------- */

static bool is_hostname(const char *name, size_t len)
{
	if (!name || len == 0 || len >= STORE_HOSTNAME_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
			return false;
	}
	return true;
}

static int keep_reading(struct file *f)
{
	struct import_reading *reading = &f->reading;
	const char *host = reading->host ? reading->host : f->host;
	size_t len = reading->host ? reading->host_len : host ? strlen(host) : 0, series_len;
	if (!is_hostname(host, len))
		return refuse(f, 0,
			      host ? "a hostname has 1 to 253 printable bytes"
				   : "the line names no host: say whose it is with --host NAME");
	if (reading->time_us < 0)
		return refuse(f, 0, "a time before 1970");
	buf_reset(&f->key);
	buf_reset(&f->value);
	int r = import_key_put(host, len, reading->time_us, &f->key);
	if (r == 0)
		r = import_sample_put(&reading->sample, &f->value, &series_len);
	if (r == 0)
		r = buf_append(&f->key, f->value.data, series_len);
	return r < 0 ? r : sorter_put(f->sorter, f->key.data, f->key.len, f->value.data, f->value.len);
}

static int take_line(struct file *f, char *line, size_t len)
{
	char why[IMPORT_WHY_SIZE];
	size_t at;
	if (f->closed)
		return refuse(f, 0, "something behind # EOF: two files in one; import them apart");
	int r = f->format == IMPORT_JSONL
			? import_line_json(f->schema, line, len, &f->reading, why, &at)
			: import_line_openmetrics(f->schema, &f->family, line, len, &f->reading, why, &at);
	if (r == -EPROTO)
		return refuse(f, at, why);
	if (r == 2)
		f->closed = true;
	if (r != 1)
		return r < 0 ? r : 0;
	r = keep_reading(f);
	import_reading_free(&f->reading);
	return r;
}

static int read_file(struct file *f)
{
	struct progress progress = progress_begin("reading");
	char *line;
	size_t len;
	int n, r = 0;
	while (r == 0 && (n = next_line(f, &line, &len)) != 0) {
		r = n < 0 ? n : take_line(f, line, len);
		progress_show(&progress, f->done, f->size, " bytes");
	}
	progress_end(&progress);
	if (r == 0 && f->format == IMPORT_OPENMETRICS && !f->closed)
		r = refuse(f, 0,
			   "there is no # EOF at the end: the file is cut off; bring all of it, or add that line");
	return r;
}

static int import(struct file *f, struct store *store, struct import_counts *counts)
{
	uint8_t hash[crypto_hash_sha256_BYTES];
	struct schemas *schemas = NULL;
	struct stat st;
	f->fd = open(f->path, O_RDONLY | O_CLOEXEC);
	if (f->fd < 0 || fstat(f->fd, &st) < 0) {
		int r = -errno;
		snprintf(f->error, IMPORT_ERROR_SIZE, "%.300s: %s", f->path, strerror(-r));
		return r;
	}
	f->size = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
	(void)crypto_hash_sha256_init(&f->hash);
	int r = schemas_open(store, &schemas);
	if (r == 0)
		r = sorter_new(NULL, SORTER_MEMORY, &f->sorter);
	if (r == 0) {
		f->schema = schemas_own(schemas);
		r = read_file(f);
	}
	if (r == 0) {
		(void)crypto_hash_sha256_final(&f->hash, hash);
		r = import_build(store, f->schema, f->sorter, hash, counts, f->error);
	}
	schemas_close(schemas);
	return r;
}

int import_file(struct store *store, enum import_format format, const char *path, const char *host,
		struct import_counts *counts, char error[IMPORT_ERROR_SIZE])
{
	struct file *f = calloc(1, sizeof(*f));
	error[0] = '\0';
	if (!f) {
		snprintf(error, IMPORT_ERROR_SIZE, "out of memory");
		return -ENOMEM;
	}
	*f = (struct file){.format = format,
			   .path = path,
			   .host = host,
			   .fd = -1,
			   .text = BUF_INIT(2 * IMPORT_LINE_MAX),
			   .key = BUF_INIT(SORTER_MAX_ENTRY),
			   .value = BUF_INIT(SORTER_MAX_ENTRY),
			   .error = error};
	int r = import(f, store, counts);
	if (r < 0 && error[0] == '\0')
		snprintf(error, IMPORT_ERROR_SIZE, "%.300s cannot be imported: %s", path, strerror(-r));
	import_reading_free(&f->reading);
	sorter_free(f->sorter);
	buf_free(&f->text);
	buf_free(&f->key);
	buf_free(&f->value);
	if (f->fd >= 0)
		close(f->fd);
	free(f);
	return r;
}
