#include "backend/ingest/acknowledgement.h"

#include "common/wire.h"

#include <string.h>

enum { ACK_ACCEPTED = 1, ACK_REJECTED = 2 };
enum { REJECTION_RANGE = 1, REJECTION_REASON = 2, REJECTION_DETAIL = 3 };
enum { RANGE_FIRST = 1, RANGE_LAST = 2 };

int acknowledgement_put_range(struct buf *out, uint32_t number, uint64_t first, uint64_t last)
{
	BUF_CLEANUP struct buf range = BUF_INIT(32);
	int r = wire_put_uint(&range, RANGE_FIRST, first);
	if (r == 0)
		r = wire_put_uint(&range, RANGE_LAST, last);
	return r < 0 ? r : wire_put_bytes(out, number, range.data, range.len);
}

static int put_rejection(struct buf *out, uint64_t first, uint64_t last, enum verdict verdict)
{
	BUF_CLEANUP struct buf rejection = BUF_INIT(512);
	const char *detail = verdict_detail(verdict);
	int r = acknowledgement_put_range(&rejection, REJECTION_RANGE, first, last);
	if (r == 0)
		r = wire_put_uint(&rejection, REJECTION_REASON, verdict);
	if (r == 0)
		r = wire_put_bytes(&rejection, REJECTION_DETAIL, detail, strlen(detail));
	return r < 0 ? r : wire_put_bytes(out, ACK_REJECTED, rejection.data, rejection.len);
}

int acknowledgement_put(struct buf *out, const struct outcome *outcomes, size_t n)
{
	size_t len = out->len;
	int r = 0;
	for (size_t i = 0; i < n && r == 0;) {
		const struct outcome *first = &outcomes[i];
		uint64_t last = first->sequence;
		for (i++; i < n && outcomes[i].verdict == first->verdict; i++) {
			uint64_t next = outcomes[i].sequence;
			if (next < last || next - last > 1)
				break;
			last = next;
		}
		if (first->verdict == VERDICT_ACCEPTED)
			r = acknowledgement_put_range(out, ACK_ACCEPTED, first->sequence, last);
		else
			r = put_rejection(out, first->sequence, last, first->verdict);
	}
	if (r < 0)
		out->len = len;
	return r;
}
