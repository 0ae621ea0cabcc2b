#include "common/tls/library.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>

#define LIBRARY "libssl.so.3" /* libcrypto comes with it, and is searched behind it */

struct tls_library tls_library;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int loaded;

static void load(void)
{
#define SYMBOL(name) {#name, offsetof(struct tls_library, name)},
	static const struct {
		const char *name;
		size_t offset;
	} symbols[] = {TLS_LIBRARY_SYMBOLS(SYMBOL)};
	void *handle = dlopen(LIBRARY, RTLD_LAZY | RTLD_LOCAL);
	loaded = handle ? 0 : -ENOENT;
	for (size_t i = 0; i < sizeof(symbols) / sizeof(symbols[0]) && loaded == 0; i++) {
		void *symbol = dlsym(handle, symbols[i].name);
		if (!symbol)
			loaded = -ENOENT;
		memcpy((char *)&tls_library + symbols[i].offset, &symbol, sizeof(symbol));
	}
	/* It stays for good: OpenSSL does not take itself away cleanly. */
}

int tls_library_load(void)
{
	return pthread_once(&once, load) == 0 ? loaded : -ENOENT;
}
