/* The first page is small, for many have little to keep, and the next ones are larger. */
#include "common/pages.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_PAGE 8192
#define LARGEST_PAGE 65536
#define FIRST_CAP 16

struct page {
	struct page *next;
	size_t used, size;
	_Alignas(16) unsigned char bytes[];
};

static void free_list(struct page *page)
{
	while (page) {
		struct page *next = page->next;
		free(page);
		page = next;
	}
}

void pages_free(struct pages *p)
{
	if (!p)
		return;
	free_list(p->page);
	free_list(p->spare);
	*p = (struct pages){.max_bytes = p->max_bytes};
}

void pages_clear(struct pages *p)
{
	/* Not used this time: else what is kept would be as much as ever was taken, and more. */
	free_list(p->spare);
	p->spare = NULL;
	while (p->page) {
		struct page *page = p->page;
		p->page = page->next;
		page->next = p->spare;
		p->spare = page;
	}
	p->bytes = 0;
}

int pages_charge(struct pages *p, size_t bytes)
{
	if (bytes > p->max_bytes - p->bytes)
		return -EMSGSIZE;
	p->bytes += bytes;
	return 0;
}

static bool has_room(const struct page *page, size_t size)
{
	return page && page->size - page->used >= size;
}

/* One that was used before, or a new one; 0, -EMSGSIZE, -ENOMEM. */
static int add_page(struct pages *p, size_t size)
{
	size_t usual = p->page ? p->page->size * 2 : FIRST_PAGE;
	struct page *page = p->spare && p->spare->size >= size ? p->spare : NULL;
	usual = usual < LARGEST_PAGE ? usual : LARGEST_PAGE;
	size_t room = page ? page->size : size > usual ? size : usual;
	int r = pages_charge(p, room);
	if (r < 0)
		return r;
	if (page)
		p->spare = page->next;
	else
		page = malloc(sizeof(*page) + room);
	if (!page)
		return -ENOMEM;
	page->size = room;
	page->used = 0;
	page->next = p->page;
	p->page = page;
	return 0;
}

int pages_take(struct pages *p, size_t wanted, void **ret)
{
	size_t size = (wanted + 15) & ~(size_t)15;
	int r = has_room(p->page, size) ? 0 : add_page(p, size);
	if (r < 0)
		return r;
	*ret = p->page->bytes + p->page->used;
	p->page->used += size;
	return 0;
}

int pages_keep(struct pages *p, const void *data, size_t len, const void **ret)
{
	void *copy;
	int r = pages_take(p, len, &copy);
	if (r < 0)
		return r;
	if (len > 0)
		memcpy(copy, data, len);
	*ret = copy;
	return 0;
}

int pages_grow_array(void **array, uint32_t *cap, uint32_t n, size_t size)
{
	if (n < *cap)
		return 0;
	uint32_t want = *cap ? *cap * 2 : FIRST_CAP;
	void *more = reallocarray(*array, want, size);
	if (!more)
		return -ENOMEM;
	*array = more;
	*cap = want;
	return 0;
}
