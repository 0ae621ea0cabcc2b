/* The output grows with what really comes out, never with what a header claims: a bomb costs its sender's limit. */
#include "backend/grpc/compression.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <zlib.h>

#define GZIP_WINDOW_BITS (15 + 16)
#define STEP 16384

static int inflate_all(z_stream *z, struct buf *out)
{
	for (;;) {
		size_t room = out->max - out->len;
		/* One byte more than allowed is asked for, into a byte of its own, to see whether there is more. */
		uint8_t extra;
		bool full = room == 0;
		if (!full) {
			room = room < STEP ? room : STEP;
			int r = buf_reserve(out, room);
			if (r < 0)
				return r;
		}
		z->next_out = full ? &extra : out->data + out->len;
		z->avail_out = full ? 1 : (uInt)room;
		int r = inflate(z, Z_NO_FLUSH);
		if (full && z->avail_out == 0)
			return -EMSGSIZE;
		if (!full)
			out->len += room - z->avail_out;
		if (r == Z_STREAM_END)
			return z->avail_in == 0 ? 0 : -EPROTO;
		if (r == Z_MEM_ERROR)
			return -ENOMEM;
		if (r != Z_OK || (z->avail_in == 0 && z->avail_out > 0))
			return -EPROTO;
	}
}

int grpc_gunzip(const uint8_t *data, size_t len, struct buf *out)
{
	if (len > UINT_MAX)
		return -EMSGSIZE;
	z_stream z = {.next_in = (Bytef *)data, .avail_in = (uInt)len};
	if (inflateInit2(&z, GZIP_WINDOW_BITS) != Z_OK)
		return -ENOMEM;
	int r = inflate_all(&z, out);
	inflateEnd(&z);
	return r;
}

struct grpc_compressor {
	z_stream z;
};

struct grpc_compressor *grpc_compressor_new(void)
{
	struct grpc_compressor *c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	if (deflateInit2(&c->z, Z_BEST_SPEED, Z_DEFLATED, GZIP_WINDOW_BITS, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
		free(c);
		return NULL;
	}
	return c;
}

void grpc_compressor_free(struct grpc_compressor *c)
{
	if (!c)
		return;
	deflateEnd(&c->z);
	free(c);
}

int grpc_gzip(struct grpc_compressor *c, const void *data, size_t len, struct buf *out)
{
	if (len == 0 || len > UINT_MAX)
		return -EMSGSIZE;
	/* Room for one byte less than the plain text: what does not fit is not worth it. */
	int r = buf_reserve(out, len - 1);
	if (r < 0)
		return r;
	if (deflateReset(&c->z) != Z_OK)
		return -ENOMEM;
	c->z.next_in = (Bytef *)data;
	c->z.avail_in = (uInt)len;
	c->z.next_out = out->data + out->len;
	c->z.avail_out = (uInt)(len - 1);
	if (deflate(&c->z, Z_FINISH) != Z_STREAM_END)
		return -EMSGSIZE;
	out->len += len - 1 - c->z.avail_out;
	return 0;
}
