/* The output grows with what really comes out, never with what a header claims: a bomb costs its sender's limit. */
#include "backend/grpc/compression.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
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
