#include "backend/columns/packer.h"

#include <errno.h>
#include <stdlib.h>
#include <zstd.h>

struct packer {
	ZSTD_CCtx *context;
};

int packer_new(struct packer **ret)
{
	struct packer *p = calloc(1, sizeof(*p));
	if (p)
		p->context = ZSTD_createCCtx();
	if (!p || !p->context) {
		free(p);
		return -ENOMEM;
	}
	*ret = p;
	return 0;
}

void packer_free(struct packer *p)
{
	if (!p)
		return;
	ZSTD_freeCCtx(p->context);
	free(p);
}

int packer_put(struct packer *p, int level, const struct buf *data, struct buf *out)
{
	int r = buf_reserve(out, ZSTD_compressBound(data->len));
	if (r < 0)
		return r;
	uint8_t *to = out->data + out->len;
	size_t room = out->cap - out->len;
	size_t len = p ? ZSTD_compressCCtx(p->context, to, room, data->data, data->len, level)
		       : ZSTD_compress(to, room, data->data, data->len, level);
	if (ZSTD_isError(len))
		return -ENOMEM;
	out->len += len;
	return 0;
}
