#include "agent/processes/exited.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int exited_init(struct exited *exited)
{
	struct exited_sent *sent = calloc(EXITED_MAX, sizeof(*sent));
	if (!sent)
		return -ENOMEM;
	*exited = (struct exited){.sent = sent};
	return 0;
}

void exited_free(struct exited *exited)
{
	if (!exited)
		return;
	free(exited->sent);
	*exited = (struct exited){.n = 0};
}

static bool is_as_sent(const struct exited_sent *sent, const struct exited_row *row)
{
	return sent->exits == row->exits && sent->cpu_ns == row->cpu_ns && sent->cgroup_id == row->cgroup_id &&
	       memcmp(sent->comm, row->comm, sizeof(sent->comm)) == 0;
}

static void take(struct exited_sent *sent, const struct exited_row *row)
{
	*sent = (struct exited_sent){.cgroup_id = row->cgroup_id, .exits = row->exits, .cpu_ns = row->cpu_ns};
	memcpy(sent->comm, row->comm, sizeof(sent->comm));
}

size_t exited_choose(struct exited *exited, const struct exited_row *rows, size_t n, bool whole, uint32_t *ret_chosen)
{
	size_t chosen = 0;
	if (n > EXITED_MAX)
		n = EXITED_MAX;
	if (exited->n < n)
		memset(&exited->sent[exited->n], 0, (n - exited->n) * sizeof(*exited->sent));
	exited->n = n;
	size_t first = whole || exited->cursor >= n ? 0 : exited->cursor, i = 0;
	for (; i < n && (whole || chosen < EXITED_A_TICK); i++) {
		size_t at = (first + i) % n;
		if (!whole && is_as_sent(&exited->sent[at], &rows[at]))
			continue;
		take(&exited->sent[at], &rows[at]);
		ret_chosen[chosen++] = (uint32_t)at;
	}
	exited->cursor = n > 0 ? (first + i) % n : 0;
	return chosen;
}
