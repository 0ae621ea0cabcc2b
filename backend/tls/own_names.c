#include "backend/tls/own.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* What DNS allows, and addresses as inet_pton() reads them. */
static bool name_ok(const char *name)
{
	size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._:*");
	return len > 0 && len < OWN_NAME_SIZE && name[len] == '\0';
}

void own_names_add(struct own_names *names, const char *name)
{
	if (!name_ok(name) || names->n == OWN_NAMES_MAX)
		return;
	for (size_t i = 0; i < names->n; i++) {
		if (strcasecmp(names->names[i], name) == 0)
			return;
	}
	memcpy(names->names[names->n++], name, strlen(name) + 1);
}

static void add_address(struct own_names *names, const struct sockaddr *address)
{
	const struct sockaddr_in *in = (const void *)address;
	const struct sockaddr_in6 *in6 = (const void *)address;
	char text[INET6_ADDRSTRLEN];
	if (address->sa_family == AF_INET) {
		if (inet_ntop(AF_INET, &in->sin_addr, text, sizeof(text)))
			own_names_add(names, text);
	} else if (address->sa_family == AF_INET6 && !IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr)) {
		if (inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof(text)))
			own_names_add(names, text);
	}
}

void own_names_of_host(struct own_names *names)
{
	char host[OWN_NAME_SIZE] = "";
	struct ifaddrs *list = NULL;
	if (gethostname(host, sizeof(host) - 1) == 0)
		own_names_add(names, host);
	char *dot = strchr(host, '.');
	if (dot) {
		*dot = '\0';
		own_names_add(names, host);
	}
	own_names_add(names, "localhost");
	own_names_add(names, "127.0.0.1");
	own_names_add(names, "::1");
	/* Without them the names still serve. */
	if (getifaddrs(&list) < 0)
		return;
	for (const struct ifaddrs *a = list; a; a = a->ifa_next) {
		if (a->ifa_addr && (a->ifa_flags & IFF_UP) && !(a->ifa_flags & IFF_LOOPBACK))
			add_address(names, a->ifa_addr);
	}
	freeifaddrs(list);
}
