/* A descriptor is a tree of definitions whose name is always field 1; which fields hold further definitions depends on
 * the kind only. So the walk is one function and a table. */
#include "backend/grpc/descriptor_index.h"

#include "common/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SYMBOLS_MAX 100000
#define FILES_MAX 1000
#define NAME_MAX_BYTES 1024
#define DEPTH_MAX 32

enum kind { KIND_NONE, KIND_FILE, KIND_MESSAGE, KIND_ENUM, KIND_SERVICE, KIND_EXTENSION, KIND_LEAF };

/* google/protobuf/descriptor.proto: [kind][field number] is the kind defined there. */
static const uint8_t children[][9] = {
	[KIND_FILE] = {[4] = KIND_MESSAGE, [5] = KIND_ENUM, [6] = KIND_SERVICE, [7] = KIND_EXTENSION},
	[KIND_MESSAGE] = {[2] = KIND_LEAF, [3] = KIND_MESSAGE, [4] = KIND_ENUM, [6] = KIND_EXTENSION, [8] = KIND_LEAF},
	[KIND_ENUM] = {[2] = KIND_LEAF},
	[KIND_SERVICE] = {[2] = KIND_LEAF},
	[KIND_EXTENSION] = {0},
	[KIND_LEAF] = {0},
};

struct slice {
	const uint8_t *data;
	size_t len;
};

struct symbol {
	char *name;
	int file;
	enum kind kind;
};

struct extension {
	struct slice type; /* without the leading dot */
	uint32_t number;
	int file;
};

struct file {
	struct slice name;
	struct slice bytes;
};

struct descriptor_index {
	struct file *files;
	size_t n_files;
	struct symbol *symbols; /* by name */
	size_t n_symbols;
	struct extension *extensions;
	size_t n_extensions;
};

struct scope {
	char text[NAME_MAX_BYTES];
	size_t len;
};

void descriptor_index_free(struct descriptor_index *index)
{
	if (!index)
		return;
	for (size_t i = 0; i < index->n_symbols; i++)
		free(index->symbols[i].name);
	free(index->symbols);
	free(index->extensions);
	free(index->files);
	free(index);
}

/* The last field of that number, or an empty slice. */
static int find_bytes(struct slice in, uint32_t number, struct slice *ret)
{
	struct wire_reader reader = wire_reader(in.data, in.len);
	struct wire_field f;
	int n;
	*ret = (struct slice){NULL, 0};
	while ((n = wire_next(&reader, &f)) > 0) {
		if (f.number == number && f.type == WIRE_BYTES)
			*ret = (struct slice){f.data, f.len};
	}
	return n;
}

/* Room for one more of size bytes; doubles. */
static int grow(void *array, size_t n, size_t max, size_t size)
{
	void *old, *bigger;
	if (n == max)
		return -EMSGSIZE;
	if (n != 0 && (n & (n - 1)) != 0)
		return 0;
	memcpy(&old, array, sizeof(old));
	bigger = reallocarray(old, n ? 2 * n : 1, size);
	if (!bigger)
		return -ENOMEM;
	memcpy(array, &bigger, sizeof(bigger));
	return 0;
}

static int enter(struct scope *scope, struct slice name)
{
	if (scope->len + name.len + 2 > sizeof(scope->text))
		return -EPROTO;
	if (scope->len > 0 && name.len > 0)
		scope->text[scope->len++] = '.';
	if (name.len > 0)
		memcpy(scope->text + scope->len, name.data, name.len);
	scope->len += name.len;
	return 0;
}

static int add_symbol(struct descriptor_index *index, const struct scope *name, int file, enum kind kind)
{
	int r = grow(&index->symbols, index->n_symbols, SYMBOLS_MAX, sizeof(*index->symbols));
	if (r < 0)
		return r;
	char *text = strndup(name->text, name->len);
	if (!text)
		return -ENOMEM;
	index->symbols[index->n_symbols++] = (struct symbol){.name = text, .file = file, .kind = kind};
	return 0;
}

static int add_extension(struct descriptor_index *index, struct slice in, int file)
{
	struct wire_reader reader = wire_reader(in.data, in.len);
	struct wire_field f;
	struct extension e = {.file = file};
	int n;
	while ((n = wire_next(&reader, &f)) > 0) {
		if (f.number == 2 && f.type == WIRE_BYTES && f.len > 0 && f.data[0] == '.')
			e.type = (struct slice){f.data + 1, f.len - 1};
		else if (f.number == 3 && f.type == WIRE_VARINT)
			e.number = (uint32_t)f.value;
	}
	if (n == 0)
		n = grow(&index->extensions, index->n_extensions, SYMBOLS_MAX, sizeof(*index->extensions));
	if (n < 0)
		return n;
	index->extensions[index->n_extensions++] = e;
	return 0;
}

static int add_children(struct descriptor_index *index, struct slice in, int file, enum kind kind, struct scope *scope,
			unsigned depth);

static int add_definition(struct descriptor_index *index, struct slice in, int file, enum kind kind,
			  struct scope *scope, unsigned depth)
{
	struct slice name;
	size_t outer = scope->len;
	if (depth > DEPTH_MAX)
		return -EPROTO;
	int r = find_bytes(in, 1, &name);
	if (r == 0)
		r = enter(scope, name);
	if (r == 0)
		r = add_symbol(index, scope, file, kind);
	if (r == 0 && kind == KIND_EXTENSION)
		r = add_extension(index, in, file);
	/* The values of an enum are its siblings, as in C++. */
	if (kind == KIND_ENUM)
		scope->len = outer;
	if (r == 0)
		r = add_children(index, in, file, kind, scope, depth + 1);
	scope->len = outer;
	return r;
}

static int add_children(struct descriptor_index *index, struct slice in, int file, enum kind kind, struct scope *scope,
			unsigned depth)
{
	struct wire_reader reader = wire_reader(in.data, in.len);
	struct wire_field f;
	int n;
	while ((n = wire_next(&reader, &f)) > 0) {
		if (f.type != WIRE_BYTES || f.number >= sizeof(children[0]) || !children[kind][f.number])
			continue;
		int r = add_definition(index, (struct slice){f.data, f.len}, file, children[kind][f.number], scope,
				       depth);
		if (r < 0)
			return r;
	}
	return n;
}

static int add_file(struct descriptor_index *index, struct slice bytes)
{
	struct scope scope = {.len = 0};
	struct slice name, package;
	int r = find_bytes(bytes, 1, &name);
	if (r == 0)
		r = find_bytes(bytes, 2, &package);
	if (r == 0)
		r = grow(&index->files, index->n_files, FILES_MAX, sizeof(*index->files));
	if (r == 0)
		r = enter(&scope, package);
	if (r < 0)
		return r;
	index->files[index->n_files++] = (struct file){.name = name, .bytes = bytes};
	return add_children(index, bytes, (int)index->n_files - 1, KIND_FILE, &scope, 0);
}

static int compare_symbols(const void *a, const void *b)
{
	return strcmp(((const struct symbol *)a)->name, ((const struct symbol *)b)->name);
}

int descriptor_index_new(const uint8_t *set, size_t len, struct descriptor_index **ret)
{
	struct descriptor_index *index = calloc(1, sizeof(*index));
	if (!index)
		return -ENOMEM;
	struct wire_reader reader = wire_reader(set, len);
	struct wire_field f;
	int n;
	while ((n = wire_next(&reader, &f)) > 0) {
		int r = f.number == 1 && f.type == WIRE_BYTES ? add_file(index, (struct slice){f.data, f.len}) : 0;
		if (r < 0) {
			n = r;
			break;
		}
	}
	if (n < 0) {
		descriptor_index_free(index);
		return n;
	}
	if (index->n_symbols > 0)
		qsort(index->symbols, index->n_symbols, sizeof(*index->symbols), compare_symbols);
	*ret = index;
	return 0;
}

/* --- questions -----------------------------------------------------------------------------------------------------
 */

static bool same(struct slice a, const void *data, size_t len)
{
	return a.len == len && (len == 0 || memcmp(a.data, data, len) == 0);
}

int descriptor_index_file(const struct descriptor_index *index, const void *name, size_t len)
{
	for (size_t i = 0; i < index->n_files; i++) {
		if (same(index->files[i].name, name, len))
			return (int)i;
	}
	return -ENOENT;
}

static const struct symbol *find_symbol(const struct descriptor_index *index, const void *name, size_t len)
{
	char text[NAME_MAX_BYTES];
	if (len >= sizeof(text) || index->n_symbols == 0)
		return NULL;
	if (len > 0)
		memcpy(text, name, len);
	text[len] = '\0';
	struct symbol key = {.name = text};
	return bsearch(&key, index->symbols, index->n_symbols, sizeof(key), compare_symbols);
}

int descriptor_index_symbol(const struct descriptor_index *index, const void *name, size_t len)
{
	const struct symbol *symbol = find_symbol(index, name, len);
	return symbol ? symbol->file : -ENOENT;
}

bool descriptor_index_is_message(const struct descriptor_index *index, const void *name, size_t len)
{
	const struct symbol *symbol = find_symbol(index, name, len);
	return symbol && symbol->kind == KIND_MESSAGE;
}

int descriptor_index_extension(const struct descriptor_index *index, const void *type, size_t len, uint32_t number)
{
	for (size_t i = 0; i < index->n_extensions; i++) {
		if (index->extensions[i].number == number && same(index->extensions[i].type, type, len))
			return index->extensions[i].file;
	}
	return -ENOENT;
}

int descriptor_index_extensions(const struct descriptor_index *index, const void *type, size_t len,
				int (*fn)(void *arg, uint32_t number), void *arg)
{
	for (size_t i = 0; i < index->n_extensions; i++) {
		int r = same(index->extensions[i].type, type, len) ? fn(arg, index->extensions[i].number) : 0;
		if (r != 0)
			return r;
	}
	return 0;
}

/* Breadth first over a list that holds each file at most once. */
int descriptor_index_closure(const struct descriptor_index *index, int file,
			     int (*fn)(void *arg, const uint8_t *data, size_t len), void *arg)
{
	size_t *list = calloc(index->n_files, sizeof(*list));
	bool *seen = calloc(index->n_files, sizeof(*seen));
	size_t n = 0;
	int r = list && seen ? 0 : -ENOMEM;
	if (r == 0) {
		list[n++] = (size_t)file;
		seen[file] = true;
	}
	for (size_t i = 0; i < n && r == 0; i++) {
		struct slice bytes = index->files[list[i]].bytes;
		struct wire_reader reader = wire_reader(bytes.data, bytes.len);
		struct wire_field f;
		r = fn(arg, bytes.data, bytes.len);
		while (r == 0 && wire_next(&reader, &f) > 0) {
			int import = f.number == 3 && f.type == WIRE_BYTES ? descriptor_index_file(index, f.data, f.len)
									   : -ENOENT;
			if (import >= 0 && !seen[import]) {
				seen[import] = true;
				list[n++] = (size_t)import;
			}
		}
	}
	free(list);
	free(seen);
	return r;
}
