/* The file of a backup: records of any kind, compressed and checked, and an end without which it is not whole.
 *
 *     header  "SONDEBAK", version (u32), CRC-32 of the twelve bytes before
 *     frames  length (u32), unpacked length (u32), a zstd frame with its checksum
 *     record  in the unpacked frames: type (u8), length (u32), CRC-32 of type, length and bytes (u32), bytes
 *     end     the last record: how many there are of each type, and a CRC-32 over all the others' CRC-32s
 *
 * Numbers are little-endian. A record lies within one frame. Each is used by one thread at a time. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARCHIVE_VERSION 1
#define ARCHIVE_TYPES 32 /* 1 to 30 are records, 31 is the end */
#define ARCHIVE_MAX_RECORD (1u << 30)
#define ARCHIVE_ERROR_SIZE 256

struct archive_writer;

/* Writes to PATH.part, mode 0600, which becomes PATH in the end: what is called PATH is whole. What another left of
 * PATH.part is overwritten. -EEXIST when PATH is there; -EWOULDBLOCK when somebody writes PATH.part just now; negative
 * errno. */
int archive_create(const char *path, struct archive_writer **ret) __attribute__((nonnull, warn_unused_result));
/* One record out of two pieces (the second may be empty). 0, -EMSGSIZE, -ENOMEM, what write(2) says. */
int archive_put(struct archive_writer *writer, unsigned type, const void *head, size_t head_len, const void *body,
		size_t body_len) __attribute__((nonnull(1), warn_unused_result));
/* Bytes on disk so far. */
uint64_t archive_written(const struct archive_writer *writer) __attribute__((nonnull));
/* The end; synced, renamed. Whatever it returns, archive_close() comes next. */
int archive_finish(struct archive_writer *writer) __attribute__((nonnull, warn_unused_result));
/* What was not finished is removed. Accepts NULL. */
void archive_close(struct archive_writer *writer);

struct archive_record {
	unsigned type;
	const uint8_t *data; /* until the next call */
	size_t len;
};

struct archive_reader;

/* 0; -EBADMSG (no archive), -ENOTSUP (of a newer version), negative errno; each with a line in error. */
int archive_open(const char *path, struct archive_reader **ret, char error[ARCHIVE_ERROR_SIZE])
	__attribute__((nonnull, warn_unused_result));
/* 1 and a record, 0 behind the last one of a whole archive, -EBADMSG with a line that says where it is damaged or cut
 * off, -ENOMEM, -EIO. After a failure it fails for ever. */
int archive_next(struct archive_reader *reader, struct archive_record *ret, char error[ARCHIVE_ERROR_SIZE])
	__attribute__((nonnull, warn_unused_result));
/* From the first record on again. 0 or negative errno. */
int archive_rewind(struct archive_reader *reader) __attribute__((nonnull, warn_unused_result));
uint64_t archive_size(const struct archive_reader *reader) __attribute__((nonnull));	 /* of the file */
uint64_t archive_position(const struct archive_reader *reader) __attribute__((nonnull)); /* bytes read */
void archive_reader_close(struct archive_reader *reader);				 /* accepts NULL */
