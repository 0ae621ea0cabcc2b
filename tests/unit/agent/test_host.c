/* Facts and mounts. */
#include "agent/host/facts.h"
#include "agent/host/mounts.h"
#include "tests/unit/agent/exact.h"
#include "tests/unit/agent/tree.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>

static const char mountinfo[] = "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda1 rw\n"
				"23 22 0:20 / /run rw,nosuid shared:2 master:3 - tmpfs tmpfs rw\n"
				"24 22 0:21 / /data\\040disk rw - nfs4 host:/x rw\n"
				"25 23 8:1 / /run/over rw - xfs /dev/sda1 rw\n"
				"26 22 0:22 / /data\\040disk rw - tmpfs tmpfs rw\n";

static int find(const char *path, char type[32])
{
	struct mount mount;
	int r = mounts_find(mountinfo, sizeof(mountinfo) - 1, path, &mount);
	if (r == 0) {
		memcpy(type, mount.type.text, mount.type.len);
		type[mount.type.len] = '\0';
	}
	return r;
}

static void test_mounts(void **state)
{
	static const struct {
		const char *path, *type;
	} cases[] = {
		{"/", "ext4"},	     {"/var/x", "ext4"},     {"/run", "tmpfs"},		  {"/run/x", "tmpfs"},
		{"/runner", "ext4"}, {"/run/over/x", "xfs"}, {"/run/overthere", "tmpfs"}, {"/data disk/x", "tmpfs"},
		{"/data", "ext4"},
	};
	char type[32];
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(find(cases[i].path, type), 0);
		assert_string_equal(type, cases[i].type);
	}
	assert_int_equal(find("relative", type), -ENOENT);

	struct mount mount;
	assert_int_equal(mounts_find("", 0, "/", &mount), -ENOENT);
	assert_int_equal(mounts_find("1 2 3\n", 6, "/", &mount), -EPROTO);
	static const struct {
		const char *type;
		bool block;
	} types[] = {{"ext4", true},   {"btrfs", true}, {"overlay", true}, {"unheard-of", true},
		     {"tmpfs", false}, {"nfs4", false}, {"9p", false}};
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		mount = (struct mount){.type = {types[i].type, strlen(types[i].type)}};
		assert_int_equal(mount_on_block_device(&mount), types[i].block);
	}
}

static void test_mount_fields(void **state)
{
	static const char text[] =
		"36 35 98:0 /sub /mnt\\0402 rw,noatime master:1 - ext3 /dev/root ro,errors=continue\n"
		"37 35 0:44 / /mnt ro - tmpfs  rw,size=4k\n"
		"18446744073709551615 0 4294967295:4294967295 / /x rwx - a b rox\n";
	struct mounts_reader reader = mounts_reader(text, sizeof(text) - 1);
	struct mount mount;
	char point[16], small[6];
	assert_int_equal(mounts_next(&reader, &mount), 1);
	assert_int_equal(mount.id, 36);
	assert_int_equal(mount.major, 98);
	assert_true(word_is(mount.root, "/sub") && word_is(mount.source, "/dev/root") && word_is(mount.type, "ext3"));
	assert_true(mount.read_only);
	assert_int_equal(mount_unescape(mount.point, point, sizeof(point)), 6);
	assert_string_equal(point, "/mnt 2");
	assert_int_equal(mount_unescape(mount.point, small, sizeof(small)), -EMSGSIZE);
	assert_int_equal(mounts_next(&reader, &mount), 1);
	assert_int_equal(mount.minor, 44);
	assert_int_equal(mount.source.len, 0);
	assert_true(mount.read_only);
	assert_int_equal(mounts_next(&reader, &mount), 1);
	assert_true(mount.id == UINT64_MAX && mount.major == UINT32_MAX);
	assert_false(mount.read_only);
	assert_int_equal(mounts_next(&reader, &mount), 0);

	static const char *const bad[] = {
		"x 35 98:0 / / rw - a b c\n",
		"36 35 980 / / rw - a b c\n",
		"36 35 98: / / rw - a b c\n",
		"36 35 98:0 / / rw - a\n",
		"36 35 98:0 / / rw a b c\n",
		"36 35 98:0 / / rw - a b c",
		"36 35 98:4294967296 / / rw - a b c\n",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		reader = mounts_reader(bad[i], strlen(bad[i]));
		if (mounts_next(&reader, &mount) != -EPROTO)
			fail_msg("accepted: %s", bad[i]);
	}
	static const struct {
		const char *type;
		bool space;
	} types[] = {{"ext4", true},	   {"nfs4", true},	 {"overlay", true}, {"unheard-of", true},
		     {"proc", false},	   {"cgroup2", false},	 {"autofs", false}, {"squashfs", false},
		     {"fuse.sshfs", true}, {"fuse.lxcfs", false}};
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		mount = (struct mount){.type = {types[i].type, strlen(types[i].type)}};
		assert_int_equal(mount_has_space(&mount), types[i].space);
	}
}

static void survive_mounts(const char *text, size_t len)
{
	struct mount mount;
	int r = mounts_find(text, len, "/data disk/x", &mount);
	if (r == 0)
		assert_true(mount.type.text >= text && mount.type.text + mount.type.len <= text + len);
}

static const char os_release[] =
	"# comment\nNAME=\"Debian GNU/Linux\"\nPRETTY_NAME=\"Say \\\"hi\\\" 12\"\nID=debian\nV='a\\b'\n";

static void survive_os(const char *text, size_t len)
{
	char value[16];
	int r = facts_os_release(text, len, "PRETTY_NAME", value, sizeof(value));
	assert_true(r == -ENOENT || (r >= 0 && (size_t)r < sizeof(value)));
}

static const char cpuinfo[] =
	"processor\t: 0\nvendor_id\t: X\nmodel\t\t: 1\nmodel name\t: A CPU @ 3GHz\n\nprocessor\t: 1\n";

static void survive_cpuinfo(const char *text, size_t len)
{
	char value[8];
	int r = facts_cpu_model(text, len, value, sizeof(value));
	assert_true(r == -ENOENT || (r >= 0 && (size_t)r < sizeof(value)));
}

static void test_texts(void **state)
{
	char value[64], small[4];
	assert_int_equal(facts_os_release(os_release, sizeof(os_release) - 1, "PRETTY_NAME", value, sizeof(value)), 11);
	assert_string_equal(value, "Say \"hi\" 12");
	assert_true(facts_os_release(os_release, sizeof(os_release) - 1, "ID", value, sizeof(value)) > 0);
	assert_string_equal(value, "debian");
	assert_true(facts_os_release(os_release, sizeof(os_release) - 1, "V", value, sizeof(value)) > 0);
	assert_string_equal(value, "a\\b");
	assert_int_equal(facts_os_release(os_release, sizeof(os_release) - 1, "ID", small, sizeof(small)), 3);
	assert_string_equal(small, "deb");
	assert_int_equal(facts_os_release("", 0, "ID", value, sizeof(value)), -ENOENT);
	assert_true(facts_cpu_model(cpuinfo, sizeof(cpuinfo) - 1, value, sizeof(value)) > 0);
	assert_string_equal(value, "A CPU @ 3GHz");
	assert_int_equal(facts_cpu_model("processor\t: 0\n", 14, value, sizeof(value)), -ENOENT);
}

static void test_torture(void **state)
{
	exact_torture(mountinfo, survive_mounts);
	exact_torture(os_release, survive_os);
	exact_torture(cpuinfo, survive_cpuinfo);
}

static void test_facts(void **state)
{
	struct tree tree;
	struct facts facts;
	tree_make(&tree);
	facts_read(&tree.root, &facts); /* nothing there but what uname says */
	assert_true(facts.kernel[0] != '\0' && facts.os[0] == '\0' && facts.cpus == 0);
	tree_write(&tree, "proc/sys/kernel/hostname", "web-1\n");
	tree_write(&tree, "proc/sys/kernel/osrelease", "6.1.0\n");
	tree_write(&tree, "proc/sys/kernel/arch", "aarch64\n");
	tree_write(&tree, "etc/os-release", os_release);
	tree_write(&tree, "proc/cpuinfo", cpuinfo);
	tree_write(&tree, "proc/stat", "cpu 1 2 3 4\ncpu0 1 2 3 4\ncpu1 1 2 3 4\n");
	tree_write(&tree, "proc/meminfo", "MemTotal: 2 kB\n");
	facts_read(&tree.root, &facts);
	assert_string_equal(facts.hostname, "web-1");
	assert_string_equal(facts.kernel, "6.1.0");
	assert_string_equal(facts.architecture, "aarch64");
	assert_string_equal(facts.os, "Say \"hi\" 12");
	assert_string_equal(facts.cpu_model, "A CPU @ 3GHz");
	assert_int_equal(facts.cpus, 2);
	assert_int_equal(facts.memory_bytes, 2048);
	tree_destroy(&tree);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mounts),	cmocka_unit_test(test_mount_fields), cmocka_unit_test(test_texts),
		cmocka_unit_test(test_torture), cmocka_unit_test(test_facts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
