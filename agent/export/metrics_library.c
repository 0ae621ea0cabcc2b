/* Looked up by name; the header of the same library gives the types. */
#include "agent/export/metrics_library.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

static bool look_up(struct metrics_library *library)
{
	const struct {
		const char *name;
		void *to;
	} symbols[] = {
		{"MHD_start_daemon", &library->start_daemon},
		{"MHD_stop_daemon", &library->stop_daemon},
		{"MHD_run", &library->run},
		{"MHD_get_timeout", &library->get_timeout},
		{"MHD_get_daemon_info", &library->get_daemon_info},
		{"MHD_get_connection_info", &library->get_connection_info},
		{"MHD_create_response_from_buffer_with_free_callback_cls", &library->create_response},
		{"MHD_add_response_header", &library->add_response_header},
		{"MHD_queue_response", &library->queue_response},
		{"MHD_destroy_response", &library->destroy_response},
	};
	for (size_t i = 0; i < sizeof(symbols) / sizeof(symbols[0]); i++) {
		void *symbol = dlsym(library->handle, symbols[i].name);
		if (!symbol)
			return false;
		memcpy(symbols[i].to, &symbol, sizeof(symbol));
	}
	return true;
}

int metrics_library_load(struct metrics_library *ret)
{
	struct metrics_library library = {.handle = dlopen("libmicrohttpd.so.12", RTLD_NOW | RTLD_LOCAL)};
	if (!library.handle)
		return -ENOENT;
	if (!look_up(&library)) {
		metrics_library_unload(&library);
		return -ENOENT;
	}
	*ret = library;
	return 0;
}

void metrics_library_unload(struct metrics_library *library)
{
	if (library->handle)
		(void)dlclose(library->handle);
	library->handle = NULL;
}
