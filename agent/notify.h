/* The service manager's protocol (sd_notify(3)): one datagram a message to the socket it named in $NOTIFY_SOCKET.
 * Without one nothing is sent. */
#pragma once

#include <stdint.h>

struct notify {
	int fd;		      /* -1: nobody listens */
	uint64_t watchdog_ns; /* the manager restarts the agent after this long without a sign of life; 0: never */
};

/* Reads $NOTIFY_SOCKET, $WATCHDOG_USEC and $WATCHDOG_PID. 0, or negative errno when there is a socket that cannot be
 * reached; the struct is usable either way. */
int notify_open(struct notify *ret) __attribute__((nonnull, warn_unused_result));
void notify_close(struct notify *notify) __attribute__((nonnull));

/* "READY=1", "STOPPING=1", "WATCHDOG=1", "STATUS=..."; lines. Lost when the manager does not take it. */
void notify_send(const struct notify *notify, const char *message) __attribute__((nonnull));
/* RELOADING=1 with the time the protocol wants. */
void notify_reloading(const struct notify *notify) __attribute__((nonnull));
