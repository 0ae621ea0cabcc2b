#include "agent/host/identity.h"
#include "agent/host/key_file.h"
#include "tests/unit/agent/tree.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static void test_made_once(void **state)
{
	struct tree tree;
	char dir[128], first[UUID_TEXT_SIZE], again[UUID_TEXT_SIZE], error[IDENTITY_ERROR_SIZE], path[160];
	struct stat st;
	tree_make(&tree);
	snprintf(dir, sizeof(dir), "%s/state", tree.path);
	assert_int_equal(identity_host_id(dir, first, error), 0);
	assert_int_equal(identity_host_id(dir, again, error), 0);
	assert_string_equal(first, again);
	assert_int_equal(strlen(first), 36);
	snprintf(path, sizeof(path), "%s/host_id", dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(stat(dir, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	tree_destroy(&tree);
}

static void test_corrupt_is_never_replaced(void **state)
{
	static const char *const bad[] = {"", "\n", "not a uuid\n", "11111111-2222-3333-4444-55555555555\n",
					  "11111111-2222-3333-4444-5555555555556 and more\n"};
	struct tree tree;
	char id[UUID_TEXT_SIZE], error[IDENTITY_ERROR_SIZE], text[64];
	tree_make(&tree);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		tree_write(&tree, "host_id", bad[i]);
		error[0] = '\0';
		assert_int_equal(identity_host_id(tree.path, id, error), -EPROTO);
		assert_non_null(strstr(error, "host_id"));
		assert_null(strchr(error, '\n'));
		FILE *f = fopen(strcat(strcpy(text, tree.path), "/host_id"), "r");
		char kept[64] = "";
		size_t n = fread(kept, 1, sizeof(kept) - 1, f);
		fclose(f);
		kept[n] = '\0';
		assert_string_equal(kept, bad[i]);
	}
	tree_destroy(&tree);
}

static void test_cannot_be_made(void **state)
{
	char id[UUID_TEXT_SIZE], error[IDENTITY_ERROR_SIZE] = "";
	assert_int_equal(identity_host_id("/no/such/place", id, error), -ENOENT);
	assert_non_null(strstr(error, "--state-dir"));
	assert_int_equal(identity_host_id("/dev/null", id, error), -ENOTDIR);
}

struct racer {
	const char *dir;
	char id[UUID_TEXT_SIZE];
	int result;
};

static void *race(void *arg)
{
	struct racer *racer = arg;
	char error[IDENTITY_ERROR_SIZE];
	racer->result = identity_host_id(racer->dir, racer->id, error);
	return NULL;
}

/* Agents that start at the same moment agree. */
static void test_race(void **state)
{
	for (int round = 0; round < 20; round++) {
		struct tree tree;
		pthread_t threads[8];
		struct racer racers[8];
		tree_make(&tree);
		for (int i = 0; i < 8; i++) {
			racers[i] = (struct racer){.dir = tree.path};
			assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
		}
		for (int i = 0; i < 8; i++) {
			pthread_join(threads[i], NULL);
			assert_int_equal(racers[i].result, 0);
			assert_string_equal(racers[i].id, racers[0].id);
		}
		tree_destroy(&tree);
	}
}

static void test_boot_id(void **state)
{
	struct tree tree;
	uint8_t id[16] = {1};
	tree_make(&tree);
	assert_int_equal(identity_boot_id(&tree.root, id), -ENOENT);
	tree_write(&tree, "proc/sys/kernel/random/boot_id", "rubbish\n");
	assert_int_equal(identity_boot_id(&tree.root, id), -EPROTO);
	assert_int_equal(id[0], 1);
	tree_write(&tree, "proc/sys/kernel/random/boot_id", "0a0b0c0d-0102-4304-8506-0708090a0b0c\n");
	assert_int_equal(identity_boot_id(&tree.root, id), 0);
	assert_int_equal(id[0], 0x0a);
	assert_int_equal(id[15], 0x0c);
	tree_destroy(&tree);
}

static int read_key(const struct tree *tree, const char *text, char *key, bool *exposed)
{
	char path[128], error[KEY_FILE_ERROR_SIZE] = "";
	tree_write(tree, "key", text);
	snprintf(path, sizeof(path), "%s/key", tree->path);
	int r = key_file_read(path, key, exposed, error);
	assert_true(r == 0 || (strlen(error) > 0 && !strchr(error, '\n')));
	return r;
}

static void test_key_file(void **state)
{
	struct tree tree;
	char key[KEY_FILE_KEY_SIZE] = "untouched", path[128], error[KEY_FILE_ERROR_SIZE];
	bool exposed = false;
	tree_make(&tree);
	assert_int_equal(read_key(&tree, "", key, &exposed), -EPROTO);
	assert_int_equal(read_key(&tree, " \n", key, &exposed), -EPROTO);
	assert_int_equal(read_key(&tree, "two words\n", key, &exposed), -EPROTO);
	assert_int_equal(read_key(&tree, "two\nlines\n", key, &exposed), -EPROTO);
	assert_int_equal(read_key(&tree, "caf\xc3\xa9\n", key, &exposed), -EPROTO);
	char longest[KEY_FILE_KEY_SIZE + 1];
	memset(longest, 'k', sizeof(longest));
	longest[KEY_FILE_KEY_SIZE] = '\0';
	assert_int_equal(read_key(&tree, longest, key, &exposed), -EPROTO);
	assert_string_equal(key, "untouched");
	assert_int_equal(read_key(&tree, "\n  sonde_abc.DEF-1 \r\n", key, &exposed), 0);
	assert_string_equal(key, "sonde_abc.DEF-1");
	snprintf(path, sizeof(path), "%s/key", tree.path);
	assert_int_equal(chmod(path, 0644), 0);
	assert_int_equal(key_file_read(path, key, &exposed, error), 0);
	assert_true(exposed);
	assert_int_equal(chmod(path, 0640), 0);
	assert_int_equal(key_file_read(path, key, &exposed, error), 0);
	assert_false(exposed);
	assert_int_equal(key_file_read("/no/such/file", key, &exposed, error), -ENOENT);
	assert_int_equal(key_file_read(tree.path, key, &exposed, error), -EISDIR);
	tree_destroy(&tree);
}

static void test_key_with_a_fingerprint(void **state)
{
	struct tree tree;
	uint8_t fingerprint[KEY_FILE_FINGERPRINT_BYTES] = {7};
	char key[KEY_FILE_KEY_SIZE] = "untouched", hex[65], token[KEY_FILE_KEY_SIZE];
	bool exposed;
	memset(hex, 'a', 64);
	hex[64] = '\0';
	tree_make(&tree);
	snprintf(token, sizeof(token), "sonde_x#sha256:%s", hex);
	assert_int_equal(read_key(&tree, token, key, &exposed), 0);
	assert_string_equal(key, token);
	assert_int_equal(key_file_split(token, key, sizeof(key), fingerprint), 1);
	assert_string_equal(key, "sonde_x");
	assert_int_equal(fingerprint[0], 0xaa);
	assert_int_equal(fingerprint[31], 0xaa);
	fingerprint[0] = 7;
	assert_int_equal(key_file_split("sonde_y", key, sizeof(key), fingerprint), 0);
	assert_string_equal(key, "sonde_y");
	assert_int_equal(fingerprint[0], 7);
	static const char *const bad[] = {"",		"#",	       "k#", "k#sha256:", "k#sha256:00", "k#sha512:00",
					  "#sha256:aa", "k##sha256:aa"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(key_file_split(bad[i], key, sizeof(key), fingerprint), -EPROTO);
		assert_int_equal(read_key(&tree, bad[i], key, &exposed), -EPROTO);
	}
	snprintf(token, sizeof(token), "#sha256:%s", hex);
	assert_int_equal(key_file_split(token, key, sizeof(key), fingerprint), -EPROTO);
	snprintf(token, sizeof(token), "k#sha256:%sa", hex);
	assert_int_equal(key_file_split(token, key, sizeof(key), fingerprint), -EPROTO);
	hex[10] = 'g';
	snprintf(token, sizeof(token), "k#sha256:%s", hex);
	assert_int_equal(key_file_split(token, key, sizeof(key), fingerprint), -EPROTO);
	assert_int_equal(key_file_split("longer", key, 6, fingerprint), -EPROTO);
	assert_string_equal(key, "sonde_y");
	assert_int_equal(fingerprint[0], 7);
	tree_destroy(&tree);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_made_once),
		cmocka_unit_test(test_corrupt_is_never_replaced),
		cmocka_unit_test(test_cannot_be_made),
		cmocka_unit_test(test_race),
		cmocka_unit_test(test_boot_id),
		cmocka_unit_test(test_key_file),
		cmocka_unit_test(test_key_with_a_fingerprint),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
