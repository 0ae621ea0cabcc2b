#include "backend/columns/budget.h"

#include <errno.h>
#include <stdlib.h>

void budget_free(struct budget *b)
{
	if (!b)
		return;
	free(b->left);
	free(b->hints);
	*b = (struct budget){0};
}

int budget_reserve(struct budget *b, size_t n)
{
	if (n <= b->cap)
		return 0;
	uint64_t *left = realloc(b->left, n * sizeof(*left));
	if (!left)
		return -ENOMEM;
	b->left = left;
	uint8_t *hints = realloc(b->hints, n);
	if (!hints)
		return -ENOMEM;
	b->hints = hints;
	b->cap = n;
	return 0;
}

void budget_begin(struct budget *b, const uint64_t *sums, size_t n)
{
	for (size_t i = 0; i + 1 < n; i++)
		b->left[i] = sums[i + 1] > sums[i] ? sums[i + 1] - sums[i] : 0;
	b->n = n - 1;
}
