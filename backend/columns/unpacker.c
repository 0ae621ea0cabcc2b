/* Readers of sections live as long as a query, on whatever thread it runs: the memory belongs to the thread, for there
 * is nobody else who outlives them. The key is made once, by whoever comes first. */
#include "backend/columns/unpacker.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <zstd.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static bool has_key;

static void free_context(void *context)
{
	(void)ZSTD_freeDCtx(context);
}

static void make_key(void)
{
	has_key = pthread_key_create(&key, free_context) == 0;
}

/* NULL: there is no memory, or no key. */
static ZSTD_DCtx *context_of_thread(void)
{
	if (pthread_once(&once, make_key) != 0 || !has_key)
		return NULL;
	ZSTD_DCtx *context = pthread_getspecific(key);
	if (context)
		return context;
	context = ZSTD_createDCtx();
	if (context && pthread_setspecific(key, context) != 0) {
		free_context(context);
		context = NULL;
	}
	return context;
}

int unpacker_take(const uint8_t *data, size_t packed, size_t len, uint8_t **ret)
{
	if (ZSTD_getFrameContentSize(data, packed) != len)
		return -EPROTO;
	ZSTD_DCtx *context = context_of_thread();
	uint8_t *bytes = context ? malloc(len + 1) : NULL;
	if (!bytes)
		return -ENOMEM;
	if (ZSTD_decompressDCtx(context, bytes, len, data, packed) != len) {
		free(bytes);
		return -EPROTO;
	}
	*ret = bytes;
	return 0;
}
