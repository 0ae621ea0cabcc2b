/* Names in a serialised FileDescriptorSet: which file defines a symbol, which extends a message. Read from the wire, so
 * that files are handed on byte by byte as protoc made them, custom options included. Immutable once made: thread-safe.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct descriptor_index;

/* Borrows the set. 0, -ENOMEM, -EPROTO. */
int descriptor_index_new(const uint8_t *set, size_t len, struct descriptor_index **ret)
	__attribute__((nonnull, warn_unused_result));
void descriptor_index_free(struct descriptor_index *index);

/* All return a file's number, or -ENOENT. Names need not be terminated. */
int descriptor_index_file(const struct descriptor_index *index, const void *name, size_t len);
/* Message, enum, enum value, field, oneof, service, method or extension, fully qualified without a leading dot. */
int descriptor_index_symbol(const struct descriptor_index *index, const void *name, size_t len);
int descriptor_index_extension(const struct descriptor_index *index, const void *type, size_t len, uint32_t number);

bool descriptor_index_is_message(const struct descriptor_index *index, const void *name, size_t len);
/* Calls fn with every extension number of a message. 0, or what fn returned when that is not 0. */
int descriptor_index_extensions(const struct descriptor_index *index, const void *type, size_t len,
				int (*fn)(void *arg, uint32_t number), void *arg);
/* Calls fn with the serialised file and then all that it imports, each once. 0, -ENOMEM, or what fn returned. */
int descriptor_index_closure(const struct descriptor_index *index, int file,
			     int (*fn)(void *arg, const uint8_t *data, size_t len), void *arg);
