/* The custom collector over a throw-away directory, and what the backend's walk and exposition make of its section. */
#include "agent/custom/custom.h"
#include "agent/custom/key_set.h"
#include "agent/settings.h"
#include "common/schema/schema.h"
#include "proto/descriptors.h"
#include "tests/unit/agent/tree.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct fixture {
	struct tree tree;
	struct collector_settings settings;
	struct arena *arena;
	void *self;
	struct collector_state state;
};

static int setup(void **state)
{
	static struct fixture f;
	f = (struct fixture){.arena = arena_new((size_t)8 << 20)};
	tree_make(&f.tree);
	tree_mkdir(&f.tree, "d");
	snprintf(f.settings.custom_dir, sizeof(f.settings.custom_dir), "%s/d", f.tree.path);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	collector_custom.destroy(f->self);
	arena_free(f->arena);
	tree_destroy(&f->tree);
	return 0;
}

static int collect(struct fixture *f, Sonde__V1__Custom *out)
{
	struct collector_context context = {.root = &f->tree.root, .settings = &f->settings};
	if (!f->self)
		assert_int_equal(collector_custom.create(&context, &f->self, &f->state), 0);
	sonde__v1__custom__init(out);
	arena_reset(f->arena);
	f->state = (struct collector_state){.reason = ""};
	struct tick tick = {.arena = f->arena, .boottime_us = 1, .state = &f->state};
	return collector_custom.collect(f->self, &tick, &out->base);
}

static const Sonde__V1__CustomMetric *find(const Sonde__V1__Custom *out, const char *name)
{
	for (size_t i = 0; i < out->n_metrics; i++) {
		if (strcmp(out->metrics[i]->name, name) == 0)
			return out->metrics[i];
	}
	return NULL;
}

static void test_good(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Custom out;
	tree_write(&f->tree, "d/b.prom",
		   "# HELP jobs_total Jobs \\\\ done\n# TYPE jobs_total "
		   "counter\njobs_total{z=\"1\",queue=\"a\\nb\",none=\"\"} 5\n"
		   "jobs_total{queue=\"c\"} 6\n");
	tree_write(&f->tree, "d/a.prom", "temp_celsius -1.5\nlost NaN\n");
	tree_write(&f->tree, "d/.hidden.prom", "rubbish");
	tree_write(&f->tree, "d/other.txt", "rubbish");
	assert_int_equal(collect(f, &out), 0);
	assert_int_equal(f->state.code, 0);
	assert_int_equal(out.n_files, 2);
	assert_string_equal(out.files[0]->file, "a.prom");
	assert_int_equal(out.files[0]->series, 1);
	assert_false(out.files[0]->refused);
	assert_true(out.files[0]->modified_time_seconds > 1.5e9);
	assert_int_equal(out.n_metrics, 3);
	assert_null(find(&out, "lost"));
	const Sonde__V1__CustomMetric *jobs = find(&out, "jobs_total");
	assert_int_equal(jobs->kind, SONDE__V1__METRIC_KIND__METRIC_KIND_COUNTER);
	assert_int_equal(jobs->unit, SONDE__V1__UNIT__UNIT_COUNT);
	assert_string_equal(jobs->help, "Jobs \\ done");
	assert_int_equal(jobs->n_labels, 2);
	assert_string_equal(jobs->labels[0]->name, "queue");
	assert_string_equal(jobs->labels[0]->value, "a?b");
	assert_string_equal(jobs->labels[1]->name, "z");
	assert_true(jobs->double_value == 5);
	assert_null(out.metrics[2]->help);
	const Sonde__V1__CustomMetric *temp = find(&out, "temp_celsius");
	assert_int_equal(temp->kind, SONDE__V1__METRIC_KIND__METRIC_KIND_GAUGE);
	assert_int_equal(temp->unit, SONDE__V1__UNIT__UNIT_CELSIUS);
}

static void test_broken_file(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Custom out;
	tree_write(&f->tree, "d/a.prom", "good_a 1\n");
	tree_write(&f->tree, "d/b.prom", "half 1\n# TYPE half2 gauge\nhalf2 1\nhalf3 one\n");
	tree_write(&f->tree, "d/c.prom", "half 2\nhalf2 3\n");
	tree_write(&f->tree, "d/d.prom", "late 1 1700000000000\n");
	assert_int_equal(collect(f, &out), 0);
	assert_int_equal(f->state.code, SONDE__V1__STATE__CODE__CODE_DEGRADED);
	assert_string_equal(f->state.reason, "broken_file");
	assert_non_null(strstr(f->state.detail, "2 of 4 files refused; b.prom: line 4: a value that is no number"));
	assert_true(out.files[1]->refused && out.files[3]->refused && !out.files[2]->refused);
	assert_int_equal(out.files[1]->series, 0);
	assert_non_null(strstr(out.files[3]->error, "timestamp"));
	/* What b.prom had begun is gone: c.prom may have those names, and another type. */
	assert_int_equal(out.n_metrics, 3);
	assert_true(find(&out, "half")->double_value == 2);
	assert_non_null(find(&out, "good_a"));

	tree_write(&f->tree, "d/b.prom", "whole 1\n");
	tree_remove(&f->tree, "d/d.prom");
	assert_int_equal(collect(f, &out), 0);
	assert_int_equal(f->state.code, 0);
	assert_non_null(find(&out, "whole"));
}

static void expect_refused(struct fixture *f, const char *a, const char *b, const char *words)
{
	Sonde__V1__Custom out;
	tree_write(&f->tree, "d/a.prom", a);
	tree_write(&f->tree, "d/b.prom", b);
	assert_int_equal(collect(f, &out), 0);
	assert_false(out.files[0]->refused);
	assert_true(out.files[1]->refused);
	if (!strstr(out.files[1]->error, words))
		fail_msg("%s does not say: %s", out.files[1]->error, words);
}

static void test_duplicates(void **state)
{
	struct fixture *f = *state;
	expect_refused(f, "x{a=\"1\",b=\"2\"} 1\n", "y 1\nx{b=\"2\",a=\"1\"} 2\n",
		       "line 2: x with the same labels is in a.prom");
	expect_refused(f, "x 1\n", "x{a=\"\"} 2\n", "is in a.prom");
	expect_refused(f, "x{a=\"1\"} 1\n", "# TYPE x counter\nx{a=\"2\"} 1\n", "x is of another type in a.prom");
	expect_refused(f, "x 1\n", "y{a=\"1\"} 1\ny{a=\"1\"} 1\n", "y is there twice");
	expect_refused(f, "x 1\n", "y{a=\"1\"} 1\nz 1\ny{a=\"2\"} 1\n", "the lines of y do not stand together");
	expect_refused(f, "x 1\n", "sonde_cpu_busy_ratio 1\n", "the agent's own");
	Sonde__V1__Custom out;
	tree_write(&f->tree, "d/b.prom", "x{a=\"1\"} 1\n");
	assert_int_equal(collect(f, &out), 0);
	assert_int_equal(out.n_metrics, 2);
}

static void test_what_is_no_file(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Custom out;
	char path[256];
	tree_mkdir(&f->tree, "d/dir.prom");
	snprintf(path, sizeof(path), "%s/d/pipe.prom", f->tree.path);
	assert_int_equal(mkfifo(path, 0644), 0);
	snprintf(path, sizeof(path), "%s/d/nowhere.prom", f->tree.path);
	assert_int_equal(symlink("/nonexistent", path), 0);
	char *large = malloc(CUSTOM_MAX_FILE_BYTES + 2);
	memset(large, '\n', CUSTOM_MAX_FILE_BYTES + 1);
	large[CUSTOM_MAX_FILE_BYTES + 1] = '\0';
	tree_write(&f->tree, "d/large.prom", large);
	tree_write(&f->tree, "d/zgood.prom", "good 1\n");
	assert_int_equal(collect(f, &out), 0);
	assert_int_equal(out.n_files, 5);
	for (size_t i = 0; i < 4; i++)
		assert_true(out.files[i]->refused && out.files[i]->error);
	assert_string_equal(out.files[1]->error, "larger than 1 MiB");
	assert_int_equal(out.n_metrics, 1);
	large[CUSTOM_MAX_FILE_BYTES] = '\0';
	tree_write(&f->tree, "d/large.prom", large);
	assert_int_equal(collect(f, &out), 0);
	assert_false(out.files[1]->refused);
	free(large);
}

static void test_many(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Custom out;
	char path[64], line[64];
	for (int i = 0; i < CUSTOM_MAX_FILES + 3; i++) {
		snprintf(path, sizeof(path), "d/%04d.prom", CUSTOM_MAX_FILES + 2 - i);
		snprintf(line, sizeof(line), "m%d 1\n", CUSTOM_MAX_FILES + 2 - i);
		tree_write(&f->tree, path, line);
	}
	assert_int_equal(collect(f, &out), 0);
	assert_int_equal(out.n_files, CUSTOM_MAX_FILES);
	assert_int_equal(out.files_left_out, 3);
	assert_string_equal(out.files[CUSTOM_MAX_FILES - 1]->file, "0255.prom");
	assert_string_equal(f->state.reason, "too_many_files");

	tree_remove(&f->tree, "d");
	char *many = malloc((size_t)1 << 20);
	size_t at = 0;
	for (int i = 0; i < CUSTOM_MAX_SERIES + 7; i++)
		at += (size_t)sprintf(many + at, "series{number=\"%d\"} %d\n", i, i);
	tree_write(&f->tree, "d/a.prom", many);
	assert_int_equal(collect(f, &out), 0);
	assert_int_equal(out.n_metrics, CUSTOM_MAX_SERIES);
	assert_int_equal(out.left_out, 7);
	assert_string_equal(f->state.reason, "too_many_series");
	assert_true(sonde__v1__custom__get_packed_size(&out) < CUSTOM_MAX_BYTES + 4096);

	at = 0;
	for (int i = 0; i < 4000; i++)
		at += (size_t)sprintf(many + at, "m{n=\"%0200d\"} 1\n", i);
	tree_write(&f->tree, "d/a.prom", many);
	for (size_t i = 0; i < at; i++) {
		if (many[i] == 'm')
			many[i] = 'n';
	}
	tree_write(&f->tree, "d/b.prom", many);
	free(many);
	assert_int_equal(collect(f, &out), 0);
	assert_in_range(out.n_metrics, 4001, 7999);
	assert_int_equal(out.n_metrics + out.left_out, 8000);
	assert_true(sonde__v1__custom__get_packed_size(&out) < CUSTOM_MAX_BYTES + 4096);
}

static void test_no_directory(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Custom out;
	void *self = NULL;
	struct collector_settings none = {.top = 1};
	struct collector_context context = {.root = &f->tree.root, .settings = &none};
	assert_int_equal(collector_custom.create(&context, &self, &f->state), -ENOENT);
	assert_int_equal(f->state.code, SONDE__V1__STATE__CODE__CODE_DISABLED);
	assert_int_equal(collect(f, &out), 0);
	assert_int_equal(out.n_files, 0);
	assert_int_equal(out.n_metrics, 0);
	tree_remove(&f->tree, "d");
	assert_int_equal(collect(f, &out), -ENOENT);
	assert_string_equal(f->state.reason, "no_directory");
}

static void test_hostile_bytes(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Custom out;
	tree_write(&f->tree, "d/a.prom", "# HELP x \xff\x01\nx{a=\"\xff\xfe\x07\"} 1\n");
	tree_write(&f->tree, "d/b.prom", "y{a=\"caf\xc3\xa9\"} 1\n");
	tree_write(&f->tree, "d/c\xff.prom", "z\xff 1\n");
	assert_int_equal(collect(f, &out), 0);
	assert_string_equal(find(&out, "x")->labels[0]->value, "???");
	assert_string_equal(find(&out, "x")->help, "??");
	assert_string_equal(find(&out, "y")->labels[0]->value, "caf\xc3\xa9");
	assert_string_equal(out.files[2]->file, "c?.prom");
	assert_true(out.files[2]->refused);
}

/* The longest that is accepted must not be too long for the backend, which would reject the whole snapshot. */
static void test_backend_takes_it(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Custom out;
	char *text = malloc(65536), name[201], label[129];
	memset(name, 'n', 200);
	memset(label, 'l', 126);
	name[200] = label[126] = '\0';
	size_t at = (size_t)sprintf(
		text,
		"# TYPE h histogram\n# HELP h What \\\\ it is\nh_bucket{le=\"+Inf\"} 3\nh_sum 4.5\nh_count 3\n"
		"i +Inf\n%s{",
		name);
	for (int i = 0; i < 16; i++)
		at += (size_t)sprintf(text + at, "%s%02d=\"%01000d\",", label, i, 0);
	sprintf(text + at, "} 1\n");
	tree_write(&f->tree, "d/a.prom", text);
	free(text);
	assert_int_equal(collect(f, &out), 0);
	assert_int_equal(out.n_metrics, 5);

	Sonde__V1__Snapshot snapshot = SONDE__V1__SNAPSHOT__INIT;
	snapshot.custom = &out;
	size_t size = sonde__v1__snapshot__get_packed_size(&snapshot);
	uint8_t *packed = malloc(size);
	sonde__v1__snapshot__pack(&snapshot, packed);
	struct descriptor_blob set = descriptors_snapshot();
	struct schema *schema;
	BUF_CLEANUP struct buf exposition = BUF_INIT((size_t)1 << 20);
	assert_int_equal(schema_compile(set.data, set.len, "sonde.v1.Snapshot", &schema), 0);
	assert_int_equal(schema_exposition(schema, packed, size, NULL, &exposition), 0);
	assert_int_equal(buf_append(&exposition, "", 1), 0);
	const char *shown = (const char *)exposition.data;
	assert_non_null(strstr(shown, "# TYPE h_bucket counter\nh_bucket{le=\"+Inf\"} 3\n"));
	assert_non_null(strstr(shown, "# HELP h_bucket What \\\\ it is\n"));
	assert_non_null(strstr(shown, "h_sum 4.5\n"));
	assert_non_null(strstr(shown, "\ni +Inf\n"));
	assert_non_null(strstr(shown, "sonde_custom_files_series{file=\"a.prom\"} 5\n"));
	assert_non_null(strstr(shown, name));
	schema_unref(schema);
	free(packed);
}

static void test_key_set(void **state)
{
	struct fixture *f = *state;
	struct key_set set;
	char keys[1000][8];
	uint32_t number = 0;
	assert_int_equal(key_set_init(&set, f->arena, 1000), 0);
	for (uint32_t i = 0; i < 1000; i++) {
		int len = snprintf(keys[i], sizeof(keys[i]), "k%u", i);
		assert_int_equal(key_set_add(&set, keys[i], (size_t)len, i, &number), 1);
	}
	assert_int_equal(key_set_add(&set, "other", 5, 0, &number), -ENOSPC);
	assert_int_equal(key_set_add(&set, "k999", 4, 0, &number), 0);
	assert_int_equal(number, 999);
	key_set_cut(&set, 500);
	for (uint32_t i = 0; i < 1000; i++)
		assert_int_equal(key_set_add(&set, keys[i], strlen(keys[i]), i, &number), i >= 500);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_good),    TEST(test_broken_file),  TEST(test_duplicates),    TEST(test_what_is_no_file),
		TEST(test_many),    TEST(test_no_directory), TEST(test_hostile_bytes), TEST(test_backend_takes_it),
		TEST(test_key_set),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
