#include "common/grpc_frame.h"

#include <errno.h>

void grpc_deframer_init(struct grpc_deframer *d, size_t max_message)
{
	d->max_message = max_message;
	d->pending = BUF_INIT(max_message + GRPC_FRAME_HEADER);
}

void grpc_deframer_free(struct grpc_deframer *d)
{
	if (d)
		buf_free(&d->pending);
}

bool grpc_deframer_partial(const struct grpc_deframer *d)
{
	return d->pending.len > 0;
}

void grpc_frame_header(uint8_t out[GRPC_FRAME_HEADER], size_t len)
{
	out[0] = 0;
	out[1] = (uint8_t)(len >> 24);
	out[2] = (uint8_t)(len >> 16);
	out[3] = (uint8_t)(len >> 8);
	out[4] = (uint8_t)len;
}

static size_t body_len(const uint8_t *header)
{
	return (size_t)header[1] << 24 | (size_t)header[2] << 16 | (size_t)header[3] << 8 | header[4];
}

/* Moves up to `want - pending` bytes from the input; true when pending holds `want`. */
static int fill(struct grpc_deframer *d, size_t want, const uint8_t **data, size_t *len, bool *ret_full)
{
	size_t n = want - d->pending.len;
	if (n > *len)
		n = *len;
	int r = buf_append(&d->pending, *data, n);
	if (r < 0)
		return r;
	*data += n;
	*len -= n;
	*ret_full = d->pending.len == want;
	return 0;
}

static int check_header(const struct grpc_deframer *d, const uint8_t *header)
{
	if (header[0] > 1)
		return -EPROTO;
	return body_len(header) > d->max_message ? -EMSGSIZE : 0;
}

int grpc_deframer_feed(struct grpc_deframer *d, const uint8_t *data, size_t len, grpc_message_fn fn, void *arg)
{
	while (len > 0) {
		bool full;
		int r;
		if (d->pending.len == 0 && len >= GRPC_FRAME_HEADER) {
			/* A message that lies whole in the input is not copied. */
			r = check_header(d, data);
			if (r < 0)
				return r;
			size_t whole = GRPC_FRAME_HEADER + body_len(data);
			if (len >= whole) {
				r = fn(arg, data + GRPC_FRAME_HEADER, whole - GRPC_FRAME_HEADER, data[0] == 1);
				if (r != 0)
					return r;
				data += whole;
				len -= whole;
				continue;
			}
		}
		if (d->pending.len < GRPC_FRAME_HEADER) {
			r = fill(d, GRPC_FRAME_HEADER, &data, &len, &full);
			if (r < 0 || !full)
				return r;
			r = check_header(d, d->pending.data);
			if (r < 0)
				return r;
		}
		r = fill(d, GRPC_FRAME_HEADER + body_len(d->pending.data), &data, &len, &full);
		if (r < 0 || !full)
			return r;
		r = fn(arg, d->pending.data + GRPC_FRAME_HEADER, d->pending.len - GRPC_FRAME_HEADER,
		       d->pending.data[0] == 1);
		buf_reset(&d->pending);
		if (r != 0)
			return r;
	}
	return 0;
}
