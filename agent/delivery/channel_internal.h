/* What channel.c (the connection) and call.c (what is on it) share: nghttp2's callbacks, handed on to their call. */
#pragma once

#include "agent/delivery/call.h"

#include <nghttp2/nghttp2.h>

struct channel {
	int fd;
	struct tls_stream *tls; /* NULL: plaintext */
	bool secure;		/* the handshake is done */
	bool hears_tls;		/* and we speak plaintext */
	nghttp2_session *session;
	struct channel_options options;
	bool draining;
	int error; /* what the peer sent cannot be used: told by channel_read() */
	uint64_t received;
	bool heard;    /* bytes, if not a frame */
	bool has_more; /* behind the frame that was made last its call has another one that the windows allow */
};

void call_on_header(struct call *call, const uint8_t *name, size_t name_len, const uint8_t *value, size_t value_len);
void call_on_data(struct call *call, const uint8_t *data, size_t len);
void call_on_frame(struct call *call, const nghttp2_frame *frame);
void call_on_close(struct call *call, uint32_t error_code);
