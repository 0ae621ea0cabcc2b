/* A v1 hierarchy says in its options which controllers it has. On a hybrid host the v2 hierarchy is there for tracking
 * processes and has few controllers or none: what v1 has is taken from v1, and pressure, which v1 never has, from v2.
 */
#include "agent/cgroups/hierarchies.h"

#include "agent/host/mounts.h"

#include <errno.h>
#include <string.h>

/* As v1 spells them; v1 has no core. */
static const char *const names[CGROUP_CORE] = {
	[CGROUP_MEMORY] = "memory", [CGROUP_CPUACCT] = "cpuacct", [CGROUP_CPU] = "cpu",
	[CGROUP_PIDS] = "pids",	    [CGROUP_BLKIO] = "blkio",
};

static bool has_option(struct word options, const char *name)
{
	const char *p = options.text, *end = options.text + options.len;
	while (p < end) {
		const char *comma = memchr(p, ',', (size_t)(end - p));
		const char *stop = comma ? comma : end;
		if (word_is((struct word){p, (size_t)(stop - p)}, name))
			return true;
		p = stop + 1;
	}
	return false;
}

/* The same hierarchy may be mounted more than once; the first mount of a controller is the one that is used. */
static void add(struct cgroup_hierarchies *out, const struct mount *mount, bool unified)
{
	struct cgroup_hierarchy *to = &out->list[out->n];
	char point[CGROUP_DIR_SIZE];
	int len = mount_unescape(mount->point, point, sizeof(point));
	bool wanted = unified;
	if (out->n == CGROUP_HIERARCHIES_MAX || len < 2 || point[0] != '/')
		return;
	if (unified) {
		for (size_t i = 0; i < out->n; i++) {
			if (out->list[i].unified)
				return;
		}
	}
	for (size_t c = 0; c < CGROUP_CORE && !unified; c++) {
		if (out->of[c] < 0 && has_option(mount->options, names[c])) {
			out->of[c] = (int)out->n;
			wanted = true;
		}
	}
	if (!wanted)
		return;				 /* a v1 hierarchy with a name and no controller: systemd's */
	memcpy(to->dir, point + 1, (size_t)len); /* its terminator too */
	to->unified = unified;
	out->n++;
}

static void choose(struct cgroup_hierarchies *out)
{
	int unified = -1, v1 = -1;
	for (size_t i = 0; i < out->n; i++) {
		if (out->list[i].unified)
			unified = (int)i;
	}
	for (size_t c = 0; c < CGROUP_CORE && v1 < 0; c++)
		v1 = out->of[c];
	if (out->n == 0)
		return;
	out->layout = v1 < 0 ? CGROUP_V2 : unified < 0 ? CGROUP_V1 : CGROUP_HYBRID;
	out->tree = (size_t)(v1 < 0 ? unified : v1);
	for (size_t c = 0; c < CGROUP_CONTROLLERS; c++) {
		if (out->of[c] < 0 && unified >= 0)
			out->of[c] = unified;
	}
}

int cgroup_hierarchies_parse(const char *mountinfo, size_t len, struct cgroup_hierarchies *ret)
{
	struct cgroup_hierarchies out = {.layout = CGROUP_NONE};
	struct mounts_reader reader = mounts_reader(mountinfo, len);
	struct mount mount;
	int r;
	for (size_t c = 0; c < CGROUP_CONTROLLERS; c++)
		out.of[c] = -1;
	while ((r = mounts_next(&reader, &mount)) > 0) {
		if (word_is(mount.type, "cgroup2"))
			add(&out, &mount, true);
		else if (word_is(mount.type, "cgroup"))
			add(&out, &mount, false);
	}
	if (r < 0)
		return r;
	choose(&out);
	*ret = out;
	return 0;
}
