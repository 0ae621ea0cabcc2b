/* Frames of about a megabyte: what is damaged is told to within one, and little is kept in memory. */
#include "backend/archive/archive_file.h"

#include "backend/archive/archive_format.h"
#include "common/buf.h"
#include "common/whole_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#define FRAME_BYTES (1u << 20)
#define LEVEL 3 /* chunks are compressed already; rows shrink to a third */

struct archive_writer {
	char *path, *part;
	int fd;
	bool foreign; /* the part is not ours to remove */
	ZSTD_CCtx *compressor;
	struct buf records; /* of the frame that is being filled */
	struct buf frame;
	uint64_t counts[ARCHIVE_TYPES];
	uint32_t chain;
	uint64_t written;
};

static int write_all(struct archive_writer *w, const void *data, size_t len)
{
	int r = whole_write(w->fd, data, len);
	if (r == 0)
		w->written += len;
	return r;
}

static int write_header(struct archive_writer *w)
{
	uint8_t header[ARCHIVE_HEADER_SIZE];
	memcpy(header, ARCHIVE_MAGIC, 8);
	archive_put32(header + 8, ARCHIVE_VERSION);
	archive_put32(header + 12, (uint32_t)crc32(0, header, 12));
	return write_all(w, header, sizeof(header));
}

static int open_part(struct archive_writer *w)
{
	/* Not truncated before the lock is held: another one may be writing it. */
	w->fd = open(w->part, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (w->fd < 0)
		return -errno;
	if (flock(w->fd, LOCK_EX | LOCK_NB) < 0)
		return -errno;
	/* What lay there may have been anybody's to read. */
	if (fchmod(w->fd, 0600) < 0 || ftruncate(w->fd, 0) < 0)
		return -errno;
	return write_header(w);
}

int archive_create(const char *path, struct archive_writer **ret)
{
	if (access(path, F_OK) == 0)
		return -EEXIST;
	struct archive_writer *w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->fd = -1;
	w->records = BUF_INIT((size_t)ARCHIVE_MAX_RECORD + FRAME_BYTES);
	w->frame = BUF_INIT(2 * (size_t)ARCHIVE_MAX_RECORD);
	w->compressor = ZSTD_createCCtx();
	w->path = strdup(path);
	int r = w->compressor && w->path && asprintf(&w->part, "%s.part", path) > 0 ? 0 : -ENOMEM;
	if (r == 0) {
		(void)ZSTD_CCtx_setParameter(w->compressor, ZSTD_c_compressionLevel, LEVEL);
		(void)ZSTD_CCtx_setParameter(w->compressor, ZSTD_c_checksumFlag, 1);
		r = open_part(w);
	}
	if (r < 0) {
		w->foreign = r == -EWOULDBLOCK || w->fd < 0;
		archive_close(w);
		return r;
	}
	*ret = w;
	return 0;
}

static int flush(struct archive_writer *w)
{
	if (w->records.len == 0)
		return 0;
	size_t bound = ZSTD_compressBound(w->records.len);
	buf_reset(&w->frame);
	int r = buf_reserve(&w->frame, ARCHIVE_FRAME_HEAD + bound);
	if (r < 0)
		return r;
	size_t len = ZSTD_compress2(w->compressor, w->frame.data + ARCHIVE_FRAME_HEAD, bound, w->records.data,
				    w->records.len);
	if (ZSTD_isError(len))
		return -ENOMEM;
	archive_put32(w->frame.data, (uint32_t)len);
	archive_put32(w->frame.data + 4, (uint32_t)w->records.len);
	buf_reset(&w->records);
	return write_all(w, w->frame.data, ARCHIVE_FRAME_HEAD + len);
}

int archive_put(struct archive_writer *w, unsigned type, const void *head, size_t head_len, const void *body,
		size_t body_len)
{
	uint8_t prefix[ARCHIVE_RECORD_HEAD];
	if (head_len > ARCHIVE_MAX_RECORD || body_len > ARCHIVE_MAX_RECORD - head_len)
		return -EMSGSIZE;
	prefix[0] = (uint8_t)type;
	archive_put32(prefix + 1, (uint32_t)(head_len + body_len));
	uLong crc = crc32(0, prefix, 5);
	crc = head_len > 0 ? crc32_z(crc, head, head_len) : crc;
	crc = body_len > 0 ? crc32_z(crc, body, body_len) : crc;
	archive_put32(prefix + 5, (uint32_t)crc);
	size_t before = w->records.len;
	int r = buf_append(&w->records, prefix, sizeof(prefix));
	if (r == 0 && head_len > 0)
		r = buf_append(&w->records, head, head_len);
	if (r == 0 && body_len > 0)
		r = buf_append(&w->records, body, body_len);
	if (r < 0) {
		w->records.len = before;
		return r;
	}
	w->counts[type % ARCHIVE_TYPES]++;
	w->chain = archive_chain(w->chain, (uint32_t)crc);
	return w->records.len >= FRAME_BYTES ? flush(w) : 0;
}

uint64_t archive_written(const struct archive_writer *w)
{
	return w->written;
}

static int sync_directory(const char *path)
{
	char *copy = strdup(path), *slash = copy ? strrchr(copy, '/') : NULL;
	if (!copy)
		return -ENOMEM;
	if (slash)
		slash[slash == copy] = '\0';
	int fd = open(slash ? copy : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = fd < 0 || fsync(fd) < 0 ? -errno : 0;
	if (fd >= 0)
		close(fd);
	free(copy);
	return r;
}

int archive_finish(struct archive_writer *w)
{
	uint8_t end[ARCHIVE_END_SIZE];
	for (size_t i = 0; i < ARCHIVE_TYPES; i++)
		archive_put64(end + i * 8, w->counts[i]);
	archive_put32(end + ARCHIVE_TYPES * 8, w->chain);
	int r = archive_put(w, ARCHIVE_END, end, sizeof(end), NULL, 0);
	if (r == 0)
		r = flush(w);
	if (r == 0 && fsync(w->fd) < 0)
		r = -errno;
	/* link(2), not rename(2): what somebody else has put there meanwhile stays. */
	if (r == 0 && link(w->part, w->path) < 0) {
		r = -errno;
		if (r == -EPERM || r == -EOPNOTSUPP) /* a file system without links */
			r = rename(w->part, w->path) < 0 ? -errno : 0;
	}
	return r < 0 ? r : sync_directory(w->path);
}

void archive_close(struct archive_writer *w)
{
	if (!w)
		return;
	if (!w->foreign && w->part)
		(void)unlink(w->part); /* also the second name of what was finished */
	if (w->fd >= 0)
		close(w->fd);
	ZSTD_freeCCtx(w->compressor);
	buf_free(&w->records);
	buf_free(&w->frame);
	free(w->path);
	free(w->part);
	free(w);
}
