/* /proc/net/dev: two lines of headings, then one line an interface with 8 numbers each way. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum {
	NET_DEV_RECEIVE_BYTES,
	NET_DEV_RECEIVE_PACKETS,
	NET_DEV_RECEIVE_ERRORS,
	NET_DEV_RECEIVE_DROPS,
	NET_DEV_RECEIVE_FIFO,
	NET_DEV_RECEIVE_FRAME,
	NET_DEV_RECEIVE_COMPRESSED,
	NET_DEV_RECEIVE_MULTICAST,
	NET_DEV_TRANSMIT_BYTES,
	NET_DEV_TRANSMIT_PACKETS,
	NET_DEV_TRANSMIT_ERRORS,
	NET_DEV_TRANSMIT_DROPS,
	NET_DEV_TRANSMIT_FIFO,
	NET_DEV_TRANSMIT_COLLISIONS,
	NET_DEV_TRANSMIT_CARRIER,
	NET_DEV_TRANSMIT_COMPRESSED,
	NET_DEV_VALUES
};

#define NET_DEV_NAME_MAX 63

struct net_dev_row {
	const char *name; /* borrowed from the text, not terminated, at most NET_DEV_NAME_MAX */
	size_t name_len;
	uint64_t values[NET_DEV_VALUES];
};

struct proc_net_dev_reader {
	const char *p;
	const char *end;
};

/* Passes over the headings. 0 or -EPROTO if they are not those of /proc/net/dev. */
int proc_net_dev_reader(const char *text, size_t len, struct proc_net_dev_reader *ret)
	__attribute__((nonnull, warn_unused_result));
/* 1 and a row, 0 at the end, -EPROTO. A name may come twice, as with /proc/diskstats. */
int proc_net_dev_next(struct proc_net_dev_reader *reader, struct net_dev_row *ret)
	__attribute__((nonnull, warn_unused_result));
