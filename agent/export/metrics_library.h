/* libmicrohttpd, loaded when somebody wants the listener: it brings GnuTLS with it, which an agent without a listener
 * should not carry. */
#pragma once

#include <microhttpd.h>

struct metrics_library {
	void *handle;
	__typeof__(&MHD_start_daemon) start_daemon;
	__typeof__(&MHD_stop_daemon) stop_daemon;
	__typeof__(&MHD_run) run;
	__typeof__(&MHD_get_timeout) get_timeout;
	__typeof__(&MHD_get_daemon_info) get_daemon_info;
	__typeof__(&MHD_get_connection_info) get_connection_info;
	__typeof__(&MHD_create_response_from_buffer_with_free_callback_cls) create_response;
	__typeof__(&MHD_add_response_header) add_response_header;
	__typeof__(&MHD_queue_response) queue_response;
	__typeof__(&MHD_destroy_response) destroy_response;
};

/* 0, or -ENOENT where it is not installed or too old. */
int metrics_library_load(struct metrics_library *ret) __attribute__((nonnull, warn_unused_result));
void metrics_library_unload(struct metrics_library *library) __attribute__((nonnull));
