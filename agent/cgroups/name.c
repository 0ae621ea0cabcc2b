/* Two things are looked for: the pod that a part of the path belongs to, and what the last part is. Container runtimes
 * write the id into the last part, with a prefix that tells who they are under systemd's cgroup driver and bare under
 * the other, where a part before it tells. */
#include "agent/cgroups/name.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define ID_DIGITS 64
#define SHORT_ID 12
#define UID_LEN 36

struct part {
	const char *text;
	size_t len;
};

/* Of scopes: PREFIX<id>.scope. */
static const struct {
	const char *prefix, *manager;
} scopes[] = {
	{"docker-", "docker"},	      {"libpod-", "podman"},
	{"libpod-conmon-", "podman"}, {"cri-containerd-", "containerd"},
	{"nerdctl-", "containerd"},   {"crio-", "crio"},
	{"crio-conmon-", "crio"},
};

/* Of directories above a bare id. */
static const struct {
	const char *parent, *manager;
} parents[] = {
	{"docker", "docker"},
	{"libpod_parent", "podman"},
	{"buildkit", "docker"},
	{"containerd", "containerd"},
};

static bool starts(struct part part, const char *prefix)
{
	size_t len = strlen(prefix);
	return part.len >= len && memcmp(part.text, prefix, len) == 0;
}

static bool ends(struct part part, const char *suffix)
{
	size_t len = strlen(suffix);
	return part.len >= len && memcmp(part.text + part.len - len, suffix, len) == 0;
}

static bool equals(struct part part, const char *text)
{
	return part.len == strlen(text) && memcmp(part.text, text, part.len) == 0;
}

static struct part cut_front(struct part part, size_t n)
{
	return (struct part){part.text + n, part.len - n};
}

static bool is_id(struct part part)
{
	if (part.len != ID_DIGITS)
		return false;
	for (size_t i = 0; i < part.len; i++) {
		if (!isxdigit((unsigned char)part.text[i]))
			return false;
	}
	return true;
}

static int hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* systemd writes bytes that a unit's name may not have as \x2d. */
static void unescape(struct part part, char *ret, size_t size)
{
	size_t n = 0;
	for (size_t i = 0; i < part.len && n + 1 < size; i++) {
		const char *p = part.text + i;
		if (p[0] == '\\' && i + 3 < part.len && p[1] == 'x' && hex(p[2]) >= 0 && hex(p[3]) >= 0) {
			ret[n++] = (char)(hex(p[2]) * 16 + hex(p[3]));
			i += 3;
		} else {
			ret[n++] = p[0];
		}
	}
	ret[n] = '\0';
}

/* kubepods-burstable-pod<uid>.slice, where dashes are underscores, or pod<uid>. */
static bool read_pod(struct part part, char uid[CGROUP_POD_UID_SIZE])
{
	if (starts(part, "kubepods") && ends(part, ".slice")) {
		const char *pod = NULL;
		for (size_t i = 0; i + 4 <= part.len; i++) {
			if (memcmp(part.text + i, "-pod", 4) == 0)
				pod = part.text + i + 4;
		}
		if (!pod)
			return false;
		part = (struct part){pod, (size_t)(part.text + part.len - 6 - pod)};
	} else if (starts(part, "pod")) {
		part = cut_front(part, 3);
	} else {
		return false;
	}
	/* A static pod's uid is a hash of 32 digits, without dashes. */
	if (part.len != UID_LEN && part.len != 32)
		return false;
	for (size_t i = 0; i < part.len; i++) {
		char c = part.text[i] == '_' ? '-' : part.text[i];
		if (c != '-' && !isxdigit((unsigned char)c))
			return false;
		uid[i] = c;
	}
	uid[part.len] = '\0';
	return true;
}

static void set_container(struct part id, const char *manager, struct cgroup_name *out)
{
	memcpy(out->container_id, id.text, id.len);
	out->container_id[id.len] = '\0';
	out->manager = manager;
	(void)snprintf(out->name, sizeof(out->name), "container %.*s", SHORT_ID, out->container_id);
}

static bool read_scope(struct part last, struct cgroup_name *out)
{
	if (!ends(last, ".scope"))
		return false;
	last.len -= strlen(".scope");
	for (size_t i = 0; i < sizeof(scopes) / sizeof(scopes[0]); i++) {
		struct part id = cut_front(last, starts(last, scopes[i].prefix) ? strlen(scopes[i].prefix) : 0);
		if (id.len < last.len && is_id(id)) {
			set_container(id, scopes[i].manager, out);
			return true;
		}
	}
	return false;
}

static bool read_bare(struct part before, struct part last, struct cgroup_name *out)
{
	/* containerd under systemd: system.slice:cri-containerd:<id>, kubepods-...slice:cri-containerd:<id> */
	struct part id = last;
	for (size_t i = 0; i < last.len; i++) {
		if (last.text[i] == ':')
			id = cut_front(last, i + 1);
	}
	bool colons = id.len < last.len;
	if (starts(id, "crio-"))
		id = cut_front(id, 5);
	else if (starts(id, "libpod-"))
		id = cut_front(id, 7);
	if (!is_id(id))
		return false;
	const char *manager = colons			? "containerd"
			      : starts(last, "crio-")	? "crio"
			      : starts(last, "libpod-") ? "podman"
			      : out->pod_uid[0] != '\0' ? "kubernetes"
							: "";
	for (size_t i = 0; i < sizeof(parents) / sizeof(parents[0]) && manager[0] == '\0'; i++) {
		if (equals(before, parents[i].parent))
			manager = parents[i].manager;
	}
	set_container(id, manager, out);
	return true;
}

static bool read_machine(struct part last, struct cgroup_name *out)
{
	if (starts(last, "lxc.payload.")) {
		out->manager = "lxc";
		unescape(cut_front(last, strlen("lxc.payload.")), out->name, sizeof(out->name));
	} else if (starts(last, "machine-") && ends(last, ".scope")) {
		last.len -= strlen(".scope");
		out->manager = "nspawn";
		unescape(cut_front(last, strlen("machine-")), out->name, sizeof(out->name));
	} else {
		return false;
	}
	return out->name[0] != '\0';
}

static bool is_unit(struct part last)
{
	static const char *const kinds[] = {".service", ".slice", ".scope", ".socket", ".mount", ".swap"};
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (last.len > strlen(kinds[i]) && ends(last, kinds[i]))
			return true;
	}
	return false;
}

/* The last part of the path is *ret_last, the one before it *ret_before; a pod anywhere is noted. */
static void read_parts(const char *path, size_t len, struct part *ret_before, struct part *ret_last,
		       struct cgroup_name *out)
{
	*ret_before = *ret_last = (struct part){path, 0};
	for (size_t i = 0; i < len;) {
		const char *slash = memchr(path + i, '/', len - i);
		struct part part = {path + i, slash ? (size_t)(slash - path) - i : len - i};
		i += part.len + 1;
		if (part.len == 0)
			continue;
		*ret_before = *ret_last;
		*ret_last = part;
		(void)read_pod(part, out->pod_uid);
	}
}

void cgroup_name(const char *path, size_t len, struct cgroup_name *ret)
{
	struct part before, last;
	*ret = (struct cgroup_name){.manager = ""};
	read_parts(path, len, &before, &last, ret);
	if (last.len == 0) {
		(void)snprintf(ret->name, sizeof(ret->name), "/");
		return;
	}
	if (read_scope(last, ret) || read_bare(before, last, ret))
		return;
	char uid[CGROUP_POD_UID_SIZE];
	if (read_pod(last, uid)) {
		ret->manager = "kubernetes";
		(void)snprintf(ret->name, sizeof(ret->name), "pod %s", uid);
		return;
	}
	if (read_machine(last, ret))
		return;
	ret->manager = is_unit(last) ? "systemd" : "";
	unescape(last, ret->name, sizeof(ret->name));
}
