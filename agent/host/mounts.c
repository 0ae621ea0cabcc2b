#include "agent/host/mounts.h"

#include "agent/scan.h"

#include <errno.h>
#include <string.h>

/* Those whose pages end in memory or on another machine. */
static const char *const without_block_device[] = {
	"tmpfs", "ramfs", "rootfs", "devtmpfs", "hugetlbfs", "nfs",	   "nfs4", "cifs",
	"smb3",	 "9p",	  "ceph",   "virtiofs", "afs",	     "fuse.sshfs", NULL,
};

/* The kernel's own trees; gateways; images without free space. */
static const char *const without_space[] = {
	"autofs",
	"binfmt_misc",
	"bpf",
	"cgroup",
	"cgroup2",
	"configfs",
	"cpuset",
	"debugfs",
	"devpts",
	"devtmpfs",
	"efivarfs",
	"fusectl",
	"hugetlbfs",
	"mqueue",
	"nfsd",
	"nsfs",
	"proc",
	"pstore",
	"ramfs",
	"resctrl",
	"rootfs",
	"rpc_pipefs",
	"securityfs",
	"selinuxfs",
	"smackfs",
	"sysfs",
	"tracefs",
	"xenfs",
	"fuse.gvfsd-fuse",
	"fuse.lxcfs",
	"fuse.portal",
	"fuse.rootlesskit",
	"cramfs",
	"erofs",
	"fuse.squashfuse",
	"fuse.snapfuse",
	"iso9660",
	"romfs",
	"squashfs",
	NULL,
};

static const char *const local[] = {
	"bcachefs", "btrfs", "exfat",	"ext2",	    "ext3",  "ext4",  "f2fs", "hfsplus", "jffs2", "jfs", "msdos",
	"nilfs2",   "ntfs3", "overlay", "reiserfs", "tmpfs", "ubifs", "udf",  "vfat",	 "xfs",	  "zfs", NULL,
};

static bool is_octal(char c)
{
	return c >= '0' && c <= '7';
}

/* The character at *at, which moves on: "\\040" is a blank. */
static char next_char(struct word word, size_t *at)
{
	const char *p = word.text + *at;
	if (p[0] == '\\' && *at + 3 < word.len && p[1] <= '3' && is_octal(p[1]) && is_octal(p[2]) && is_octal(p[3])) {
		*at += 4;
		return (char)((p[1] - '0') * 64 + (p[2] - '0') * 8 + (p[3] - '0'));
	}
	*at += 1;
	return p[0];
}

int mount_unescape(struct word word, char *ret, size_t size)
{
	size_t n = 0;
	for (size_t at = 0; at < word.len;) {
		if (n + 1 >= size)
			return -EMSGSIZE;
		ret[n++] = next_char(word, &at);
	}
	if (size == 0)
		return -EMSGSIZE;
	ret[n] = '\0';
	return (int)n;
}

/* The length of the mount point if path lies under it, or -1. */
static long match_point(struct word point, const char *path)
{
	size_t n = 0;
	for (size_t at = 0; at < point.len;) {
		char c = next_char(point, &at);
		if (path[n] == '\0' || path[n] != c)
			return -1;
		n++;
	}
	if (n == 1 || path[n] == '/' || path[n] == '\0')
		return (long)n;
	return -1;
}

/* 98:0 */
static int parse_number(struct scan *line, struct mount *mount)
{
	struct word word;
	uint64_t major, minor;
	if (scan_word(line, &word) < 0)
		return -EPROTO;
	const char *colon = memchr(word.text, ':', word.len);
	if (!colon)
		return -EPROTO;
	size_t before = (size_t)(colon - word.text);
	if (word_u64((struct word){word.text, before}, &major) < 0 ||
	    word_u64((struct word){colon + 1, word.len - before - 1}, &minor) < 0 || major > UINT32_MAX ||
	    minor > UINT32_MAX)
		return -EPROTO;
	mount->major = (uint32_t)major;
	mount->minor = (uint32_t)minor;
	return 0;
}

/* "ro" as the first of comma-separated options: the kernel writes it or "rw" there. */
static bool is_read_only(struct word options)
{
	return word_is(options, "ro") || word_starts(options, "ro,");
}

/* 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue */
static int parse_mount(struct scan *line, struct mount *ret)
{
	struct mount mount = {.id = 0};
	struct word word;
	if (scan_u64(line, &mount.id) < 0 || scan_u64(line, &mount.parent) < 0 || parse_number(line, &mount) < 0 ||
	    scan_word(line, &mount.root) < 0 || scan_word(line, &mount.point) < 0 || scan_word(line, &word) < 0)
		return -EPROTO;
	mount.read_only = is_read_only(word);
	do {
		if (scan_word(line, &word) < 0)
			return -EPROTO;
	} while (!word_is(word, "-"));
	if (scan_word(line, &mount.type) < 0 || scan_word(line, &mount.source) < 0)
		return -EPROTO;
	/* A source that is the empty string leaves two blanks and one word less. */
	if (scan_word(line, &word) < 0) {
		word = mount.source;
		mount.source.len = 0;
	}
	mount.options = word;
	mount.read_only = mount.read_only || is_read_only(word);
	*ret = mount;
	return 0;
}

int mounts_next(struct mounts_reader *reader, struct mount *ret)
{
	struct scan rest = reader->rest, line;
	int r = scan_line(&rest, &line);
	if (r <= 0)
		return r;
	r = parse_mount(&line, ret);
	if (r < 0)
		return r;
	reader->rest = rest;
	return 1;
}

int mounts_find(const char *text, size_t len, const char *path, struct mount *ret)
{
	struct mounts_reader reader = mounts_reader(text, len);
	struct mount mount, best = {.id = 0};
	long longest = 0;
	int r;
	while ((r = mounts_next(&reader, &mount)) > 0) {
		long n = match_point(mount.point, path);
		if (n > 0 && n >= longest) {
			longest = n;
			best = mount;
		}
	}
	if (r < 0)
		return r;
	if (longest == 0)
		return -ENOENT;
	*ret = best;
	return 0;
}

static bool is_listed(struct word type, const char *const *list)
{
	for (; *list; list++) {
		if (word_is(type, *list))
			return true;
	}
	return false;
}

bool mount_on_block_device(const struct mount *mount)
{
	return !is_listed(mount->type, without_block_device);
}

bool mount_has_space(const struct mount *mount)
{
	return !is_listed(mount->type, without_space);
}

bool mount_is_local(const struct mount *mount)
{
	return is_listed(mount->type, local);
}
