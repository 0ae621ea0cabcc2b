#include "agent/collectors/link_events.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MESSAGE_MAX 16384
/* A tick reads no more than this; what comes faster is a storm, in which everything is looked at in turn anyway. */
#define READS_MAX 256

int link_events_open(void)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (fd < 0)
		return -errno;
	struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
	if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
		int r = -errno;
		close(fd);
		return r;
	}
	return fd;
}

static void add(struct link_changes *changes, uint32_t ifindex)
{
	for (size_t i = 0; i < changes->n; i++) {
		if (changes->ifindexes[i] == ifindex)
			return;
	}
	if (changes->n == LINK_EVENTS_MAX)
		changes->all = true;
	else
		changes->ifindexes[changes->n++] = ifindex;
}

void link_events_parse(const void *data, size_t len, struct link_changes *changes)
{
	const char *p = data;
	while (len > 0) {
		struct nlmsghdr header;
		struct ifinfomsg info;
		if (len < sizeof(header)) {
			changes->all = true;
			return;
		}
		memcpy(&header, p, sizeof(header));
		bool is_link = header.nlmsg_type == RTM_NEWLINK || header.nlmsg_type == RTM_DELLINK;
		if (header.nlmsg_len < sizeof(header) || header.nlmsg_len > len ||
		    (is_link && header.nlmsg_len < NLMSG_HDRLEN + sizeof(info))) {
			changes->all = true;
			return;
		}
		if (is_link) {
			memcpy(&info, p + NLMSG_HDRLEN, sizeof(info));
			add(changes, (uint32_t)info.ifi_index);
		}
		size_t step = NLMSG_ALIGN((size_t)header.nlmsg_len);
		if (step >= len)
			return;
		p += step;
		len -= step;
	}
}

void link_events_read(int fd, struct link_changes *ret)
{
	char message[MESSAGE_MAX];
	*ret = (struct link_changes){.n = 0};
	for (int i = 0; fd >= 0 && i < READS_MAX; i++) {
		struct sockaddr_nl from;
		socklen_t size = sizeof(from);
		ssize_t n = recvfrom(fd, message, sizeof(message), MSG_TRUNC, (struct sockaddr *)&from, &size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == ENOBUFS) { /* the kernel had to drop some */
			ret->all = true;
			continue;
		}
		if (n < 0)
			return;
		if (size < sizeof(from) || from.nl_pid != 0) /* not from the kernel */
			continue;
		if ((size_t)n > sizeof(message))
			ret->all = true;
		else
			link_events_parse(message, (size_t)n, ret);
	}
	if (fd >= 0)
		ret->all = true;
}
