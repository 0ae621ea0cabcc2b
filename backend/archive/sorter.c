#include "backend/archive/sorter.h"

#include "common/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READ_BYTES (256u << 10) /* of a run at a time */
#define RUNS_MAX 4096

/* As it lies in memory and in a run; key and value follow. */
struct head {
	uint32_t key_len, len;
};

struct run {
	uint64_t at, end; /* in the file: what was not read yet */
	struct buf bytes; /* read */
	size_t next;	  /* in them: the entry at hand */
};

struct sorter {
	char *directory;
	int fd;
	uint64_t file_len;
	size_t memory;
	struct buf entries;
	size_t *offsets;
	size_t n, cap, next;
	bool merging;
	struct run *runs;
	size_t n_runs;
	size_t *heap; /* of runs that have an entry, the least first */
	size_t n_heap;
	size_t taken; /* of heap[0]: bytes of the entry that was given out */
};

int sorter_new(const char *directory, size_t memory, struct sorter **ret)
{
	struct sorter *s = calloc(1, sizeof(*s));
	const char *standard = getenv("TMPDIR");
	if (!s)
		return -ENOMEM;
	s->fd = -1;
	s->memory = memory;
	s->entries = BUF_INIT(memory + SORTER_MAX_ENTRY + sizeof(struct head));
	s->directory = strdup(directory ? directory : standard ? standard : "/var/tmp");
	if (!s->directory) {
		sorter_free(s);
		return -ENOMEM;
	}
	*ret = s;
	return 0;
}

static void free_runs(struct sorter *s)
{
	for (size_t i = 0; i < s->n_runs; i++)
		buf_free(&s->runs[i].bytes);
	free(s->runs);
	free(s->heap);
	s->runs = NULL;
	s->heap = NULL;
	s->n_runs = s->n_heap = s->taken = 0;
}

void sorter_free(struct sorter *s)
{
	if (!s)
		return;
	free_runs(s);
	buf_free(&s->entries);
	free(s->offsets);
	free(s->directory);
	if (s->fd >= 0)
		close(s->fd);
	free(s);
}

int sorter_reset(struct sorter *s)
{
	free_runs(s);
	buf_reset(&s->entries);
	s->n = s->next = 0;
	s->merging = false;
	s->file_len = 0;
	return s->fd >= 0 && ftruncate(s->fd, 0) < 0 ? -errno : 0;
}

static struct sorter_entry entry_at(const uint8_t *p)
{
	struct head head;
	memcpy(&head, p, sizeof(head));
	p += sizeof(head);
	return (struct sorter_entry){.key = p, .key_len = head.key_len, .value = p + head.key_len, .len = head.len};
}

static size_t size_of(const struct sorter_entry *e)
{
	return sizeof(struct head) + e->key_len + e->len;
}

static int compare(const struct sorter_entry *a, const struct sorter_entry *b)
{
	size_t len = a->key_len < b->key_len ? a->key_len : b->key_len;
	int order = len > 0 ? memcmp(a->key, b->key, len) : 0;
	return order ? order : (a->key_len > b->key_len) - (a->key_len < b->key_len);
}

static int by_key(const void *x, const void *y, void *arg)
{
	size_t i = *(const size_t *)x, k = *(const size_t *)y;
	struct sorter_entry a = entry_at((uint8_t *)arg + i), b = entry_at((uint8_t *)arg + k);
	int order = compare(&a, &b);
	return order ? order : (i > k) - (i < k); /* those put later lie further back */
}

static void sort(struct sorter *s)
{
	if (s->n > 0)
		qsort_r(s->offsets, s->n, sizeof(*s->offsets), by_key, s->entries.data);
}

static int write_all(struct sorter *s, const uint8_t *p, size_t len)
{
	while (len > 0) {
		ssize_t n = pwrite(s->fd, p, len, (off_t)s->file_len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
		s->file_len += (uint64_t)n;
	}
	return 0;
}

static int spill(struct sorter *s)
{
	struct buf out BUF_CLEANUP = BUF_INIT(READ_BYTES + SORTER_MAX_ENTRY + sizeof(struct head));
	if (s->n == 0)
		return 0;
	if (s->n_runs == RUNS_MAX)
		return -EMSGSIZE;
	if (s->fd < 0) {
		s->fd = open(s->directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
		if (s->fd < 0)
			return -errno;
	}
	struct run *runs = realloc(s->runs, (s->n_runs + 1) * sizeof(*runs));
	if (!runs)
		return -ENOMEM;
	s->runs = runs;
	struct run *run = &runs[s->n_runs++];
	*run = (struct run){.at = s->file_len, .bytes = BUF_INIT(READ_BYTES + SORTER_MAX_ENTRY + sizeof(struct head))};
	int r = 0;
	sort(s);
	for (size_t i = 0; i < s->n && r == 0; i++) {
		const uint8_t *p = s->entries.data + s->offsets[i];
		struct sorter_entry e = entry_at(p);
		r = buf_append(&out, p, size_of(&e));
		if (r == 0 && out.len >= READ_BYTES) {
			r = write_all(s, out.data, out.len);
			buf_reset(&out);
		}
	}
	if (r == 0)
		r = write_all(s, out.data, out.len);
	run->end = s->file_len;
	s->n = 0;
	buf_reset(&s->entries);
	return r;
}

int sorter_put(struct sorter *s, const void *key, size_t key_len, const void *value, size_t len)
{
	if (key_len > SORTER_MAX_ENTRY || len > SORTER_MAX_ENTRY - key_len)
		return -EMSGSIZE;
	struct head head = {(uint32_t)key_len, (uint32_t)len};
	if (s->entries.len + s->n * sizeof(*s->offsets) >= s->memory) {
		int r = spill(s);
		if (r < 0)
			return r;
	}
	if (s->n == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 1024;
		size_t *more = realloc(s->offsets, cap * sizeof(*more));
		if (!more)
			return -ENOMEM;
		s->offsets = more;
		s->cap = cap;
	}
	size_t at = s->entries.len;
	int r = buf_append(&s->entries, &head, sizeof(head));
	if (r == 0 && key_len > 0)
		r = buf_append(&s->entries, key, key_len);
	if (r == 0 && len > 0)
		r = buf_append(&s->entries, value, len);
	if (r < 0)
		s->entries.len = at;
	else
		s->offsets[s->n++] = at;
	return r;
}

/* --- merging ------------------------------------------------------------------------------------------------------ */

static int read_more(const struct sorter *s, struct run *run, size_t wanted)
{
	if (run->bytes.len - run->next >= wanted)
		return 0;
	buf_consume(&run->bytes, run->next);
	run->next = 0;
	while (run->bytes.len < wanted) {
		uint64_t left = run->end - run->at;
		size_t ask = wanted - run->bytes.len > READ_BYTES ? wanted - run->bytes.len : READ_BYTES;
		if (ask > left)
			ask = (size_t)left;
		if (ask == 0)
			return -EIO; /* what was written is not there any more */
		if (ask > run->bytes.max - run->bytes.len)
			ask = run->bytes.max - run->bytes.len;
		int r = buf_reserve(&run->bytes, ask);
		if (r < 0)
			return r;
		ssize_t n = pread(s->fd, run->bytes.data + run->bytes.len, ask, (off_t)run->at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		run->bytes.len += (size_t)n;
		run->at += (uint64_t)n;
	}
	return 0;
}

/* The entry at hand is whole in memory: 1, 0 when the run has none, negative errno. */
static int load(const struct sorter *s, struct run *run)
{
	if (run->next == run->bytes.len && run->at == run->end)
		return 0;
	int r = read_more(s, run, sizeof(struct head));
	if (r < 0)
		return r;
	struct sorter_entry e = entry_at(run->bytes.data + run->next);
	r = read_more(s, run, size_of(&e));
	return r < 0 ? r : 1;
}

static struct sorter_entry entry_of(const struct run *run)
{
	return entry_at(run->bytes.data + run->next);
}

static bool before(const struct sorter *s, size_t a, size_t b)
{
	struct sorter_entry x = entry_of(&s->runs[a]), y = entry_of(&s->runs[b]);
	int order = compare(&x, &y);
	return order ? order < 0 : a < b;
}

static void sift(struct sorter *s, size_t i)
{
	for (;;) {
		size_t least = i;
		for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < s->n_heap; child++) {
			if (before(s, s->heap[child], s->heap[least]))
				least = child;
		}
		if (least == i)
			return;
		size_t run = s->heap[i];
		s->heap[i] = s->heap[least];
		s->heap[least] = run;
		i = least;
	}
}

static int begin_merge(struct sorter *s)
{
	int r = spill(s);
	if (r < 0)
		return r;
	s->heap = calloc(s->n_runs, sizeof(*s->heap));
	if (!s->heap)
		return -ENOMEM;
	for (size_t i = 0; i < s->n_runs; i++) {
		r = load(s, &s->runs[i]);
		if (r < 0)
			return r;
		if (r == 1)
			s->heap[s->n_heap++] = i;
	}
	for (size_t i = s->n_heap; i-- > 0;)
		sift(s, i);
	return 0;
}

static int merge_next(struct sorter *s, struct sorter_entry *ret)
{
	if (s->taken > 0) {
		struct run *run = &s->runs[s->heap[0]];
		run->next += s->taken;
		s->taken = 0;
		int r = load(s, run);
		if (r < 0)
			return r;
		if (r == 0)
			s->heap[0] = s->heap[--s->n_heap];
		sift(s, 0);
	}
	if (s->n_heap == 0)
		return 0;
	*ret = entry_of(&s->runs[s->heap[0]]);
	s->taken = size_of(ret);
	return 1;
}

int sorter_next(struct sorter *s, struct sorter_entry *ret)
{
	if (!s->merging) {
		s->merging = true;
		if (s->n_runs > 0) {
			int r = begin_merge(s);
			if (r < 0)
				return r;
		} else {
			sort(s);
		}
	}
	if (s->n_runs > 0)
		return merge_next(s, ret);
	if (s->next == s->n)
		return 0;
	*ret = entry_at(s->entries.data + s->offsets[s->next++]);
	return 1;
}
