#include "agent/host/mounts.h"

#include "agent/scan.h"

#include <errno.h>
#include <string.h>

/* Those whose pages end in memory or on another machine. */
static const char *const without_block_device[] = {
	"tmpfs", "ramfs", "rootfs", "devtmpfs", "hugetlbfs", "nfs", "nfs4",
	"cifs",	 "smb3",  "9p",	    "ceph",	"virtiofs",  "afs", "fuse.sshfs",
};

static bool is_octal(char c)
{
	return c >= '0' && c <= '7';
}

/* Blanks, newlines and backslashes of a mount point are written as three octal digits. The length of the mount point if
 * path lies under it, or -1. */
static long match_point(struct word point, const char *path)
{
	size_t at = 0;
	for (size_t i = 0; i < point.len; i++) {
		char c = point.text[i];
		if (c == '\\' && i + 3 < point.len && is_octal(point.text[i + 1]) && is_octal(point.text[i + 2]) &&
		    is_octal(point.text[i + 3])) {
			c = (char)((point.text[i + 1] - '0') * 64 + (point.text[i + 2] - '0') * 8 +
				   (point.text[i + 3] - '0'));
			i += 3;
		}
		if (path[at] == '\0' || path[at] != c)
			return -1;
		at++;
	}
	if (at == 1 || path[at] == '/' || path[at] == '\0')
		return (long)at;
	return -1;
}

/* 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue */
static int parse_mount(struct scan *line, struct word *ret_point, struct word *ret_type)
{
	struct word word;
	for (int i = 0; i < 4; i++) {
		if (scan_word(line, &word) < 0)
			return -EPROTO;
	}
	if (scan_word(line, ret_point) < 0)
		return -EPROTO;
	do {
		if (scan_word(line, &word) < 0)
			return -EPROTO;
	} while (!word_is(word, "-"));
	return scan_word(line, ret_type);
}

int mounts_find(const char *text, size_t len, const char *path, struct mount *ret)
{
	struct scan rest = scan_text(text, len), line;
	struct word point, type, best = {NULL, 0};
	long longest = 0;
	int r;
	while ((r = scan_line(&rest, &line)) > 0) {
		r = parse_mount(&line, &point, &type);
		if (r < 0)
			return r;
		long n = match_point(point, path);
		if (n > 0 && n >= longest) {
			longest = n;
			best = type;
		}
	}
	if (r < 0)
		return r;
	if (!best.text)
		return -ENOENT;
	*ret = (struct mount){.type = best.text, .type_len = best.len};
	return 0;
}

bool mount_on_block_device(const struct mount *mount)
{
	struct word type = {mount->type, mount->type_len};
	for (size_t i = 0; i < sizeof(without_block_device) / sizeof(without_block_device[0]); i++) {
		if (word_is(type, without_block_device[i]))
			return false;
	}
	return true;
}
