#include "agent/collectors/mount_list.h"

#include "agent/host/capabilities.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool is_busy(const struct mounted *mount)
{
	enum lane_state state = lane_job_state(&mount->probe.job);
	return state == LANE_WAITING || state == LANE_RUNNING;
}

static void free_mounted(struct mounted *mount)
{
	if (!mount)
		return;
	free(mount->point);
	free(mount->source);
	free(mount->type);
	free(mount);
}

static char *unescape(struct word word)
{
	char *text = malloc(word.len + 1);
	if (text && mount_unescape(word, text, word.len + 1) < 0) {
		free(text);
		return NULL;
	}
	return text;
}

static struct mounted *new_mounted(const struct mount *mount, struct mount_probes *shared)
{
	struct mounted *mounted = calloc(1, sizeof(*mounted));
	if (!mounted)
		return NULL;
	mounted->point = unescape(mount->point);
	mounted->source = unescape(mount->source);
	mounted->type = unescape(mount->type);
	if (!mounted->point || !mounted->source || !mounted->type) {
		free_mounted(mounted);
		return NULL;
	}
	mounted->major = mount->major;
	mounted->minor = mount->minor;
	mounted->read_only = mount->read_only;
	const char *below = mounted->point[0] == '/' ? mounted->point + 1 : mounted->point;
	mounted->probe = (struct mount_probe){
		.job.run = mount_probe_run,
		.job.capabilities = CAPABILITY_SYS_PTRACE | CAPABILITY_DAC_READ_SEARCH,
		.shared = shared,
		.path = below[0] != '\0' ? below : ".",
		.mount_id = mount->id,
		.remote = !mount_is_local(mount),
	};
	return mounted;
}

static bool is_same(const struct mounted *known, const struct mounted *mount)
{
	return known->probe.mount_id == mount->probe.mount_id && known->major == mount->major &&
	       known->minor == mount->minor && strcmp(known->point, mount->point) == 0 &&
	       strcmp(known->source, mount->source) == 0;
}

/* Both are in the order of their mount points: the search begins where this one should be. */
static struct mounted *find_known(const struct mount_list *list, size_t *next, const struct mounted *mount)
{
	for (size_t i = 0; i < list->n; i++) {
		size_t at = (*next + i) % list->n;
		if (!list->mounts[at]->kept && is_same(list->mounts[at], mount)) {
			*next = at + 1;
			return list->mounts[at];
		}
	}
	return NULL;
}

static void discard(struct mount_list *list, struct mounted *mount)
{
	if (!is_busy(mount)) {
		free_mounted(mount);
		return;
	}
	mount->next = list->gone;
	list->gone = mount;
	list->n_gone++;
}

/* Replaces each of the new ones by the old one it is; the rest of the old ones go. */
static void merge(struct mount_list *list, struct mounted **mounts, size_t n)
{
	size_t next = 0;
	for (size_t i = 0; i < list->n; i++)
		list->mounts[i]->kept = false;
	for (size_t i = 0; i < n; i++) {
		struct mounted *known = find_known(list, &next, mounts[i]);
		if (!known)
			continue;
		known->kept = true;
		known->read_only = mounts[i]->read_only;
		free_mounted(mounts[i]);
		mounts[i] = known;
	}
	for (size_t i = 0; i < list->n; i++) {
		if (!list->mounts[i]->kept)
			discard(list, list->mounts[i]);
	}
	free(list->mounts);
	list->mounts = mounts;
	list->n = n;
}

int mount_list_update(struct mount_list *list, const struct mount_table *table, struct mount_probes *shared)
{
	struct mounted **mounts = calloc(table->n + 1, sizeof(struct mounted *));
	if (!mounts)
		return -ENOMEM;
	for (size_t i = 0; i < table->n; i++) {
		mounts[i] = new_mounted(&table->mounts[i], shared);
		if (mounts[i])
			continue;
		for (size_t k = 0; k < i; k++)
			free_mounted(mounts[k]);
		free(mounts);
		return -ENOMEM;
	}
	merge(list, mounts, table->n);
	list->left_out = table->left_out;
	return 0;
}

static void take(struct mounted *mount)
{
	const struct mount_probe *probe = &mount->probe;
	mount->error = probe->error;
	if (probe->error == 0) {
		mount->answered = true;
		mount->answered_ns = probe->answered_ns;
		mount->space = probe->space;
	}
	lane_job_take(&mount->probe.job);
}

static void free_gone(struct mount_list *list)
{
	for (struct mounted **at = &list->gone; *at;) {
		struct mounted *mount = *at;
		if (is_busy(mount)) {
			at = &mount->next;
			continue;
		}
		*at = mount->next;
		list->n_gone--;
		free_mounted(mount);
	}
}

bool mount_list_take(struct mount_list *list)
{
	bool pending = false;
	for (size_t i = 0; i < list->n; i++) {
		struct mounted *mount = list->mounts[i];
		if (lane_job_state(&mount->probe.job) == LANE_DONE)
			take(mount);
		else if (is_busy(mount) && lane_job_age_ms(&mount->probe.job) <= LANE_STUCK_MS)
			pending = true;
	}
	free_gone(list);
	return pending;
}

void mount_list_submit(struct mount_list *list, struct lane *lane)
{
	/* With that many gone and still under way the lane stands still: more would only grow the heap. */
	if (list->n_gone >= MOUNT_LIST_MAX_GONE)
		return;
	for (size_t i = 0; i < list->n; i++) {
		struct mounted *mount = list->mounts[i];
		if (is_busy(mount))
			continue;
		int r = lane_submit(lane, &mount->probe.job);
		if (r < 0)
			mount->error = r;
	}
}

void mount_list_free(struct mount_list *list)
{
	if (!list)
		return;
	for (size_t i = 0; i < list->n; i++)
		free_mounted(list->mounts[i]);
	free_gone(list);
	free(list->mounts);
	*list = (struct mount_list){.n = 0};
}
