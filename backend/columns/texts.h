/* What rows of a section say that is no number: names, command lines, states and their reasons, events. A section of a
 * chunk beside that of the values, with CHUNK_SECTION_TEXTS in its number: for each row the ticks at which its text
 * became another one. README.md has the format.
 *
 * An entry holds from its tick until the row's next. It says what the text is whenever the row is there. Whether the
 * row is there the values of that tick say, its own or those of rows in it; while an entry is `bare` it is there and
 * has no values. Before its first entry a row was not there. A row without any entry has no text where it is. */
#pragma once

#include "backend/columns/columns.h"
#include "backend/columns/packer.h"
#include "common/schema/rows.h"

#define TEXTS_MAX_ROWS (1u << 20)
#define TEXTS_MAX_ENTRIES (1u << 22)
#define TEXTS_MAX_BYTES (1u << 27) /* of a section, unpacked */

struct texts_entry {
	uint32_t tick;
	uint32_t text; /* number of the text in the section; of TEXTS_NONE it is empty */
	bool bare;
};

#define TEXTS_NONE 0u /* number 0 is always the empty text */

/* The key by which rows are ordered. 0, -ENOMEM, -EMSGSIZE. */
int texts_key(const struct schema_place *place, struct buf *out) __attribute__((nonnull, warn_unused_result));

/* --- writing ----------------------------------------------------------------------------------------------------- */

struct texts_writer;

int texts_writer_new(uint32_t section, uint32_t n_ticks, struct texts_writer **ret)
	__attribute__((nonnull, warn_unused_result));
void texts_writer_free(struct texts_writer *writer); /* accepts NULL */
/* Packs with this one, borrowed until the writer has finished, and in this form, which without it is dense: quickly, or
 * in as few bytes. */
void texts_writer_use(struct texts_writer *writer, struct packer *packer, enum columns_form form)
	__attribute__((nonnull(1)));

/* Begins a row, whose key comes behind the one before. 0; -EINVAL for another order; -EMSGSIZE; -ENOMEM. After a
 * failure of any of these the writer can only be freed. */
int texts_writer_row(struct texts_writer *writer, const struct schema_place *place)
	__attribute__((nonnull, warn_unused_result));
/* The same where the caller knows that its key does. */
int texts_writer_row_sorted(struct texts_writer *writer, const struct schema_place *place)
	__attribute__((nonnull, warn_unused_result));
/* From this tick on, which is not below the one of the call before. What does not change anything costs nothing. */
int texts_writer_entry(struct texts_writer *writer, uint32_t tick, const uint8_t *text, size_t len, bool bare)
	__attribute__((nonnull(1), warn_unused_result));
/* The same in a writer that gets no text without a number of the caller's: the same one means the same text, another
 * one another. They are dense, from 0. */
int texts_writer_entry_numbered(struct texts_writer *writer, uint32_t tick, uint32_t number, const uint8_t *text,
				size_t len, bool bare) __attribute__((nonnull(1), warn_unused_result));
/* The row is not there as a bare one any more, or never was. */
int texts_writer_not_bare(struct texts_writer *writer, uint32_t tick) __attribute__((nonnull, warn_unused_result));

/* Rows that have something to say so far; those that have not are left out. */
uint32_t texts_writer_rows(struct texts_writer *writer) __attribute__((nonnull));
/* Appends the section. 0, -EMSGSIZE, -ENOMEM. */
int texts_writer_finish(struct texts_writer *writer, struct buf *out) __attribute__((nonnull, warn_unused_result));

/* --- reading ----------------------------------------------------------------------------------------------------- */

struct texts_reader;

/* The bytes are not needed any more afterwards. 0; -EBADMSG when the checksum does not fit; -EPROTO for bytes no writer
 * wrote; -ENOMEM. */
int texts_reader_open(const uint8_t *data, size_t len, uint32_t n_ticks, struct texts_reader **ret)
	__attribute__((nonnull, warn_unused_result));
/* Looks at the header and the checksum only: 0, -EBADMSG, -EPROTO. */
int texts_check(const uint8_t *data, size_t len) __attribute__((nonnull, warn_unused_result));
void texts_reader_free(struct texts_reader *reader); /* accepts NULL */

/* The section whose texts these are. */
uint32_t texts_reader_section(const struct texts_reader *reader) __attribute__((nonnull));
uint32_t texts_reader_rows(const struct texts_reader *reader) __attribute__((nonnull));

/* Row i in the order of keys; what it points to lives as long as the reader. */
struct texts_row {
	struct schema_place place;
	const struct texts_entry *entries; /* ascending by tick; n > 0 */
	uint32_t n;
	const uint8_t *key;
	uint32_t key_len;
};
void texts_reader_get(const struct texts_reader *reader, uint32_t i, struct texts_row *ret) __attribute__((nonnull));
void texts_reader_text(const struct texts_reader *reader, uint32_t text, const uint8_t **ret, size_t *ret_len)
	__attribute__((nonnull));
/* The row of this place, or -1; -ENOMEM. */
int64_t texts_reader_find(struct texts_reader *reader, const struct schema_place *place) __attribute__((nonnull));
/* The entry of row i that holds at a tick, or NULL. */
const struct texts_entry *texts_reader_at(const struct texts_reader *reader, uint32_t i, uint32_t tick)
	__attribute__((nonnull));
/* The rows that are bare at any time. */
const uint32_t *texts_reader_bare(const struct texts_reader *reader, uint32_t *ret_n) __attribute__((nonnull));
