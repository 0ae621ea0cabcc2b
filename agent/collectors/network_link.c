#include "agent/collectors/network_link.h"

#include "agent/label.h"
#include "agent/scan.h"

#include <stdio.h>
#include <string.h>

#define PATH_SIZE 128
#define BYTES_PER_MEGABIT 125000
#define MAX_MEGABITS INT32_MAX /* -1, which old kernels print without its sign, is "unknown" */

struct path {
	char text[PATH_SIZE];
};

static struct path path_of(const char *name, const char *attribute)
{
	struct path path;
	(void)snprintf(path.text, sizeof(path.text), "sys/class/net/%s%s", name, attribute);
	return path;
}

static bool has(const struct root *root, const char *name, const char *attribute)
{
	struct path path = path_of(name, attribute);
	return root_exists(root, path.text);
}

static bool read_number(const struct root *root, const char *name, const char *attribute, uint64_t *ret)
{
	struct path path = path_of(name, attribute);
	unsigned long long number;
	if (root_read_u64(root, path.text, &number) < 0)
		return false;
	*ret = number;
	return true;
}

static bool read_u32(const struct root *root, const char *name, const char *attribute, uint32_t *ret)
{
	uint64_t number;
	if (!read_number(root, name, attribute, &number) || number > UINT32_MAX)
		return false;
	*ret = (uint32_t)number;
	return true;
}

static void read_word(const struct root *root, const char *name, const char *attribute, char *ret, size_t size)
{
	struct path path = path_of(name, attribute);
	int len = root_read_text(root, path.text, ret, size);
	if (len < 0)
		ret[0] = '\0';
	else
		label_clean(ret, (size_t)len);
}

/* ../../../virtual/net/br0 */
static void read_master(const struct root *root, const char *name, char ret[ROSTER_NAME_MAX + 1])
{
	struct path path = path_of(name, "/master");
	char target[PATH_SIZE * 2];
	int len = root_read_link(root, path.text, target, sizeof(target));
	const char *slash = len < 0 ? NULL : strrchr(target, '/');
	const char *master = len < 0 ? "" : slash ? slash + 1 : target;
	size_t n = strlen(master);
	if (n > ROSTER_NAME_MAX)
		n = 0;
	memcpy(ret, master, n);
	ret[n] = '\0';
	label_clean(ret, n);
}

/* A veth names its peer as its link; a macvlan or the like the interface it lies on, and has a "lower_NAME" for it.
 * Where that one is in another namespace the two look the same. */
static bool is_paired(const struct root *root, const char *name, const struct network_link *link)
{
	struct path path = path_of(name, "");
	struct root_dir dir;
	uint32_t iflink;
	bool has_lower = false;
	if (!link->has_ifindex || !read_u32(root, name, "/iflink", &iflink) || iflink == link->ifindex ||
	    root_dir_open(root, path.text, &dir) < 0)
		return false;
	for (const char *entry; !has_lower && (entry = root_dir_next(&dir));)
		has_lower = strncmp(entry, "lower_", strlen("lower_")) == 0;
	root_dir_close(&dir);
	return !has_lower;
}

static void read_kind(const struct root *root, const char *name, struct network_link *ret)
{
	char uevent[256], flags[16];
	struct path uevent_path = path_of(name, "/uevent"), flags_path = path_of(name, "/tun_flags");
	struct net_kind_facts facts = {.has_device = has(root, name, "/device")};
	/* The terminator's place holds the newline that root_read_text() cut off. */
	int len = root_read_text(root, uevent_path.text, uevent, sizeof(uevent));
	if (len > 0) {
		uevent[len] = '\n';
		facts.uevent = uevent;
		facts.uevent_len = (size_t)len + 1;
	} else {
		facts.uevent = "";
	}
	facts.has_type = read_u32(root, name, "/type", &facts.type);
	facts.is_paired = is_paired(root, name, ret);
	/* 0x1002 */
	if (root_read_text(root, flags_path.text, flags, sizeof(flags)) > 2 && strncmp(flags, "0x", 2) == 0)
		facts.has_tun_flags = word_hex_u32((struct word){flags + 2, strlen(flags + 2)}, &facts.tun_flags) == 0;
	net_kind(&facts, ret->kind);
	label_clean(ret->kind, strlen(ret->kind));
}

void network_link_read(const struct root *root, const char *name, struct network_link *ret)
{
	struct network_link link = {.is_virtual = strcmp(name, "lo") == 0};
	link.is_there = has(root, name, "");
	link.has_ifindex = link.is_there && read_u32(root, name, "/ifindex", &link.ifindex);
	if (link.is_there) {
		link.is_virtual = link.is_virtual || !has(root, name, "/device") || has(root, name, "/master/device");
		link.has_mtu = read_number(root, name, "/mtu", &link.mtu_bytes);
		link.has_carrier_changes = read_number(root, name, "/carrier_changes", &link.carrier_changes);
		read_word(root, name, "/operstate", link.operstate, sizeof(link.operstate));
		read_master(root, name, link.master);
		read_kind(root, name, &link);
	}
	*ret = link;
}

void network_link_read_speed(const struct root *root, const char *name, struct network_link_speed *ret)
{
	struct network_link_speed speed = {.has_carrier = false};
	uint64_t number;
	/* While an interface is switched off, carrier and speed read as EINVAL. */
	speed.has_carrier = read_number(root, name, "/carrier", &number);
	speed.carrier = speed.has_carrier && number != 0;
	if (read_number(root, name, "/speed", &number) && number > 0 && number <= MAX_MEGABITS) {
		speed.has_speed = true;
		speed.bytes_per_second = number * BYTES_PER_MEGABIT;
	}
	read_word(root, name, "/duplex", speed.duplex, sizeof(speed.duplex));
	if (strcmp(speed.duplex, "full") != 0 && strcmp(speed.duplex, "half") != 0)
		speed.duplex[0] = '\0';
	*ret = speed;
}
