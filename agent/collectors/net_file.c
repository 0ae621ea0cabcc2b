#include "agent/collectors/net_file.h"

#define FILE_MAX ((size_t)1 << 20)
#define RETRY_US 60000000

struct net_dir net_dir(const struct root *root)
{
	return (struct net_dir){.root = root, .of_init = root->recorded && root_exists(root, "proc/1/net/dev")};
}

void net_file_init(struct net_file *file, const struct root *root, const char *path)
{
	*file = (struct net_file){.root = root, .path = path};
}

bool net_file_read(struct net_file *file, uint64_t now_us)
{
	if (!file->is_open) {
		if (now_us < file->retry_us)
			return false;
		file->retry_us = now_us + RETRY_US;
		if (root_file_open(file->root, file->path, FILE_MAX, &file->file) < 0)
			return false;
		file->is_open = true;
		file->file.has_short_records = true;
	}
	if (root_file_read(&file->file) == 0)
		return true;
	net_file_close(file);
	return false;
}

void net_file_malformed(const struct net_file *file, struct collector_state *state)
{
	(void)collector_fail(state, SONDE__V1__STATE__CODE__CODE_DEGRADED, 0, "malformed",
			     "%s does not read as the kernel writes it, what it says is left out; report it with the "
			     "kernel's version",
			     file->path);
}

void net_file_close(struct net_file *file)
{
	if (file->is_open)
		root_file_close(&file->file);
	file->is_open = false;
}
