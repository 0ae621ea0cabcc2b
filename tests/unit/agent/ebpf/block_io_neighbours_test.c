#include "agent/ebpf/block_io_neighbours.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static char dir[] = "/tmp/sonde-neighbours-XXXXXX";
static struct root root;

static void put_directory(const char *path)
{
	char full[512];
	(void)snprintf(full, sizeof(full), "%s/%s", dir, path);
	for (char *p = strchr(full + 1, '/'); p; p = strchr(p + 1, '/')) {
		*p = '\0';
		(void)mkdir(full, 0700);
		*p = '/';
	}
	assert_int_equal(mkdir(full, 0700), 0);
}

static struct disk_device disk_called(const char *name)
{
	struct disk_device disk = {.is_whole = true};
	(void)snprintf(disk.entry.name, sizeof(disk.entry.name), "%s", name);
	return disk;
}

static bool has(char names[][ROSTER_NAME_MAX + 1], uint32_t n, const char *name)
{
	for (uint32_t i = 0; i < n; i++) {
		if (strcmp(names[i], name) == 0)
			return true;
	}
	return false;
}

static void holders_of_the_disk_and_of_its_partitions(void **state)
{
	struct block_io_neighbours neighbours;
	struct arena *arena = arena_new(1 << 16);
	Sonde__V1__BlockIoDevice message = SONDE__V1__BLOCK_IO_DEVICE__INIT;
	put_directory("sys/block/sda/holders/dm-0");
	put_directory("sys/block/sda/sda1/holders/md0");
	put_directory("sys/block/sda/sda2/holders/dm-0"); /* once */
	put_directory("sys/block/sda/queue/holders/no");
	struct disk_device disk = disk_called("sda");
	block_io_neighbours_read(&root, &disk, &neighbours);
	assert_int_equal(neighbours.n_holders, 2);
	assert_true(has(neighbours.holders, 2, "dm-0") && has(neighbours.holders, 2, "md0"));
	assert_int_equal(neighbours.n_below, 0);
	assert_int_equal(block_io_neighbours_fill(&neighbours, arena, &message), 0);
	assert_int_equal(message.n_holders, 2);
	assert_int_equal(message.n_stands_on, 0);
	assert_null(message.multipath_head);
	arena_free(arena);
}

static void what_it_stands_on(void **state)
{
	struct block_io_neighbours neighbours;
	put_directory("sys/block/dm-3/slaves/cciss!c0d0");
	put_directory("sys/block/loop3");
	struct disk_device disk = disk_called("dm-3");
	disk.is_stacked = true;
	block_io_neighbours_read(&root, &disk, &neighbours);
	assert_int_equal(neighbours.n_below, 1);
	assert_string_equal(neighbours.below[0], "cciss/c0d0");
	disk = disk_called("loop3");
	disk.is_stacked = true;
	memcpy(disk.backing_source, "vda1", 5);
	block_io_neighbours_read(&root, &disk, &neighbours);
	assert_int_equal(neighbours.n_below, 1);
	assert_string_equal(neighbours.below[0], "vda1");
	disk = disk_called("loop3"); /* over memory */
	block_io_neighbours_read(&root, &disk, &neighbours);
	assert_int_equal(neighbours.n_below, 0);
	disk = disk_called("gone");
	block_io_neighbours_read(&root, &disk, &neighbours);
	assert_int_equal(neighbours.n_below + neighbours.n_holders, 0);
}

static void no_more_than_there_is_room_for(void **state)
{
	struct block_io_neighbours neighbours;
	for (int i = 0; i < 2 * BLOCK_IO_NEIGHBOURS_MAX; i++) {
		char path[64];
		(void)snprintf(path, sizeof(path), "sys/block/sdb/holders/dm-%d", i);
		put_directory(path);
	}
	struct disk_device disk = disk_called("sdb");
	block_io_neighbours_read(&root, &disk, &neighbours);
	assert_int_equal(neighbours.n_holders, BLOCK_IO_NEIGHBOURS_MAX);
	struct arena *arena = arena_new(64);
	Sonde__V1__BlockIoDevice message = SONDE__V1__BLOCK_IO_DEVICE__INIT;
	assert_true(block_io_neighbours_fill(&neighbours, arena, &message) < 0);
	arena_free(arena);
}

static void paths_name_their_namespace(void **state)
{
	char head[ROSTER_NAME_MAX + 1] = "kept";
	assert_true(block_io_multipath_head("nvme0c1n1", head));
	assert_string_equal(head, "nvme0n1");
	assert_true(block_io_multipath_head("nvme12c34n567", head));
	assert_string_equal(head, "nvme12n567");
	static const char *const others[] = {"nvme0n1", "nvme0c1", "nvmec1n1", "nvme0cn1",
					     "sda",	"nvme",	   "",	       "nvme0c1n1p1"};
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_false(block_io_multipath_head(others[i], head));
	assert_string_equal(head, "nvme12n567");
}

static int set_up(void **state)
{
	return mkdtemp(dir) ? root_open(&root, dir) : -1;
}

static int tear_down(void **state)
{
	char command[64];
	root_close(&root);
	(void)snprintf(command, sizeof(command), "rm -r %s", dir);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(holders_of_the_disk_and_of_its_partitions),
		cmocka_unit_test(what_it_stands_on),
		cmocka_unit_test(no_more_than_there_is_room_for),
		cmocka_unit_test(paths_name_their_namespace),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
