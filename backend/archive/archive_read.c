#include "backend/archive/archive_file.h"

#include "backend/archive/archive_format.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

struct archive_reader {
	int fd;
	uint64_t size, at; /* of the file */
	uint64_t frame_at; /* where the frame at hand begins */
	ZSTD_DCtx *unpacker;
	uint8_t *packed, *records;
	size_t packed_cap, records_cap, len, next; /* of records */
	uint64_t counts[ARCHIVE_TYPES];
	uint32_t chain;
	bool ended;
	int failed;
};

/* All of it, or -EBADMSG when the file ends before. */
static int read_all(struct archive_reader *a, void *data, size_t len)
{
	uint8_t *p = data;
	while (len > 0) {
		ssize_t n = pread(a->fd, p, len, (off_t)a->at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EBADMSG;
		p += n;
		len -= (size_t)n;
		a->at += (uint64_t)n;
	}
	return 0;
}

static int complain(char *error, int r, uint64_t at, const char *what)
{
	snprintf(error, ARCHIVE_ERROR_SIZE, "%s (at byte %llu)", what, (unsigned long long)at);
	return r;
}

static int read_header(struct archive_reader *a, char *error)
{
	uint8_t header[ARCHIVE_HEADER_SIZE];
	int r = read_all(a, header, sizeof(header));
	if (r == -EBADMSG || (r == 0 && memcmp(header, ARCHIVE_MAGIC, 8) != 0))
		return complain(error, -EBADMSG, 0, "this is not a backup of sonde-backend");
	if (r < 0)
		return complain(error, r, 0, strerror(-r));
	if (archive_get32(header + 12) != (uint32_t)crc32(0, header, 12))
		return complain(error, -EBADMSG, 0, "its header is damaged");
	if (archive_get32(header + 8) > ARCHIVE_VERSION) {
		snprintf(error, ARCHIVE_ERROR_SIZE,
			 "the archive has version %u, this program knows up to %d: use a newer sonde-backend",
			 archive_get32(header + 8), ARCHIVE_VERSION);
		return -ENOTSUP;
	}
	return 0;
}

int archive_open(const char *path, struct archive_reader **ret, char error[ARCHIVE_ERROR_SIZE])
{
	struct stat st;
	struct archive_reader *a = calloc(1, sizeof(*a));
	if (!a)
		return complain(error, -ENOMEM, 0, "out of memory");
	a->fd = open(path, O_RDONLY | O_CLOEXEC);
	a->unpacker = ZSTD_createDCtx();
	int r = !a->unpacker			     ? -ENOMEM
		: a->fd < 0 || fstat(a->fd, &st) < 0 ? -errno
		: !S_ISREG(st.st_mode)		     ? -EINVAL
						     : 0;
	if (r < 0)
		snprintf(error, ARCHIVE_ERROR_SIZE, "%s",
			 r == -EINVAL ? "it is not a file: it is read twice" : strerror(-r));
	if (r == 0) {
		a->size = (uint64_t)st.st_size;
		r = read_header(a, error);
	}
	if (r < 0) {
		archive_reader_close(a);
		return r;
	}
	*ret = a;
	return 0;
}

static int make_room(uint8_t **data, size_t *cap, size_t len)
{
	if (len <= *cap)
		return 0;
	uint8_t *more = realloc(*data, len);
	if (!more)
		return -ENOMEM;
	*data = more;
	*cap = len;
	return 0;
}

static int next_frame(struct archive_reader *a, char *error)
{
	uint8_t head[ARCHIVE_FRAME_HEAD];
	a->frame_at = a->at;
	int r = read_all(a, head, sizeof(head));
	if (r == 0) {
		size_t packed = archive_get32(head), unpacked = archive_get32(head + 4);
		/* Lengths out of a damaged file are believed no further than the file reaches. */
		if (packed > a->size - a->at || unpacked > 2 * (size_t)ARCHIVE_MAX_RECORD)
			r = -EBADMSG;
		if (r == 0)
			r = make_room(&a->packed, &a->packed_cap, packed);
		if (r == 0)
			r = read_all(a, a->packed, packed);
		if (r == 0 && ZSTD_getFrameContentSize(a->packed, packed) != unpacked)
			return complain(error, -EBADMSG, a->frame_at, "the archive is damaged");
		if (r == 0)
			r = make_room(&a->records, &a->records_cap, unpacked);
		if (r == 0 && ZSTD_decompressDCtx(a->unpacker, a->records, unpacked, a->packed, packed) != unpacked)
			return complain(error, -EBADMSG, a->frame_at, "the archive is damaged");
		a->len = unpacked;
		a->next = 0;
	}
	if (r == -EBADMSG)
		return complain(error, r, a->frame_at, "the archive is cut off");
	return r < 0 ? complain(error, r, a->frame_at, strerror(-r)) : 0;
}

static int take_end(struct archive_reader *a, const struct archive_record *record, char *error)
{
	bool fits = record->len == ARCHIVE_END_SIZE;
	for (size_t i = 0; fits && i < ARCHIVE_TYPES; i++)
		fits = archive_get64(record->data + i * 8) == a->counts[i];
	if (!fits || archive_get32(record->data + ARCHIVE_TYPES * 8) != a->chain)
		return complain(error, -EBADMSG, a->frame_at, "the archive is damaged: records are missing");
	if (a->next != a->len || a->at != a->size)
		return complain(error, -EBADMSG, a->at, "the archive is damaged: something follows its end");
	a->ended = true;
	return 0;
}

static int next_record(struct archive_reader *a, struct archive_record *ret, char *error)
{
	while (a->next == a->len) {
		int r = next_frame(a, error);
		if (r < 0)
			return r;
	}
	const uint8_t *p = a->records + a->next;
	size_t room = a->len - a->next;
	uint32_t len = room >= ARCHIVE_RECORD_HEAD ? archive_get32(p + 1) : 0;
	if (room < ARCHIVE_RECORD_HEAD || len > room - ARCHIVE_RECORD_HEAD)
		return complain(error, -EBADMSG, a->frame_at, "the archive is damaged");
	uint32_t crc = archive_get32(p + 5);
	if ((uint32_t)crc32_z(crc32(0, p, 5), p + ARCHIVE_RECORD_HEAD, len) != crc || p[0] == 0 || p[0] > ARCHIVE_END)
		return complain(error, -EBADMSG, a->frame_at, "the archive is damaged");
	a->next += ARCHIVE_RECORD_HEAD + len;
	*ret = (struct archive_record){.type = p[0], .data = p + ARCHIVE_RECORD_HEAD, .len = len};
	if (p[0] == ARCHIVE_END)
		return take_end(a, ret, error);
	a->counts[p[0]]++;
	a->chain = archive_chain(a->chain, crc);
	return 1;
}

int archive_next(struct archive_reader *a, struct archive_record *ret, char error[ARCHIVE_ERROR_SIZE])
{
	if (a->failed < 0)
		return complain(error, a->failed, a->frame_at, "the archive is damaged");
	if (a->ended)
		return 0;
	int r = next_record(a, ret, error);
	if (r < 0)
		a->failed = r;
	return r;
}

int archive_rewind(struct archive_reader *a)
{
	a->at = ARCHIVE_HEADER_SIZE;
	a->len = a->next = 0;
	a->chain = 0;
	a->ended = false;
	memset(a->counts, 0, sizeof(a->counts));
	return a->failed;
}

uint64_t archive_size(const struct archive_reader *a)
{
	return a->size;
}

uint64_t archive_position(const struct archive_reader *a)
{
	return a->at;
}

void archive_reader_close(struct archive_reader *a)
{
	if (!a)
		return;
	if (a->fd >= 0)
		close(a->fd);
	ZSTD_freeDCtx(a->unpacker);
	free(a->packed);
	free(a->records);
	free(a);
}
