/* One simulated agent's connection: a real Ingest.Stream, driven by whoever owns the epoll descriptor. Every error ends
 * the program with a line: a bench goes on with all it started with or not at all. One thread. */
#pragma once

#include "agent/delivery/call.h"
#include "agent/delivery/channel.h"
#include "common/buf.h"

#include <stdbool.h>
#include <stdint.h>

#define CALLER_KEY_SIZE 160

struct caller {
	/* Set before caller_open(). */
	int epoll;		 /* data.ptr of its events is the caller */
	uint16_t port;		 /* of 127.0.0.1 */
	const char *key;	 /* bearer */
	struct tls_context *tls; /* NULL: plaintext */
	const char *name;	 /* in front of its host's name */
	bool takes_hold;	 /* as its Hello says */
	uint8_t host_id[16], instance[16];
	/* A field of BackendMessage but Welcome; borrowed. */
	void (*on_field)(void *arg, uint32_t number, const uint8_t *data, size_t len);
	void *arg;
	/* Read by the owner. */
	bool welcomed, lost; /* lost: the backend has closed the connection */
	struct channel *channel;
	struct call *call;
	bool writing;
};

_Noreturn void caller_die(const char *what, int error);
void caller_must(int r, const char *what);

/* Connects and says Hello. */
void caller_open(struct caller *caller);
void caller_send_batch(struct caller *caller, const void *batch, size_t len);
/* What is queued goes out as far as the socket takes it. */
void caller_flush(struct caller *caller);
/* Behind an event of its socket. False when the backend has ended the call, or closed the connection. */
bool caller_read(struct caller *caller);
/* Ends the program with what the backend said when it ended the call, if it did. */
_Noreturn void caller_complain(const struct caller *caller);
/* It can be opened again. */
void caller_close(struct caller *caller);
/* The first key of a key file. */
void caller_take_key(const char *path, char key[CALLER_KEY_SIZE]);
/* As many descriptors as the process may have. */
void caller_more_files(void);
