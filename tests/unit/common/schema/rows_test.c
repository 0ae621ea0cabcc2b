#include "common/schema/rows.h"
#include "common/schema/trail.h"

#include "common/wire.h"
#include "proto/descriptors.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct schema *schema;

static int setup(void **state)
{
	struct descriptor_blob set = descriptors_snapshot();
	return schema_compile(set.data, set.len, "sonde.v1.Snapshot", &schema);
}

static int teardown(void **state)
{
	schema_unref(schema);
	return 0;
}

static void ok(int r)
{
	assert_int_equal(r, 0);
}

static void json(const char *text, struct buf *out)
{
	char error[200];
	if (schema_json_parse(schema, "sonde.v1.Snapshot", text, strlen(text), out, error, sizeof(error)) < 0)
		fail_msg("%s", error);
}

/* What is told of a snapshot, a line a row: "23.2[pid=1 start_time_us=5 ] 2 10"; of the text its field numbers, "
 * bare", and "=" where only told to be as before. Labels are known by the number of their text. */
#define MAX_LABELS 16
static char *label_texts[MAX_LABELS];

static int on_labels(void *arg, const struct schema_label_value *labels, size_t n, uint32_t *ret)
{
	struct buf text = BUF_INIT(1 << 16);
	for (size_t i = 0; i < n; i++) {
		if (labels[i].is_text)
			ok(buf_printf(&text, "%s=%.*s ", labels[i].name, (int)labels[i].len, labels[i].text));
		else
			ok(buf_printf(&text, "%s=%llu ", labels[i].name, (unsigned long long)labels[i].number));
	}
	ok(buf_append(&text, "", 1));
	for (*ret = 0; *ret < MAX_LABELS && label_texts[*ret]; ++*ret) {
		if (strcmp(label_texts[*ret], (char *)text.data) == 0) {
			buf_free(&text);
			return 0;
		}
	}
	assert_true(*ret < MAX_LABELS);
	label_texts[*ret] = (char *)text.data;
	return 0;
}

static void forget_labels(void)
{
	for (size_t i = 0; i < MAX_LABELS; i++) {
		free(label_texts[i]);
		label_texts[i] = NULL;
	}
}

static int on_row(void *arg, const struct schema_trail_row *row)
{
	struct wire_reader reader = wire_reader(row->text, row->len);
	struct wire_field f;
	struct buf *out = arg;
	for (size_t i = 0; i < row->n_numbers; i++)
		ok(buf_printf(out, i ? ".%u" : "%u", row->numbers[i]));
	ok(buf_printf(out, "[%s]", label_texts[row->labels]));
	while (!row->same && wire_next(&reader, &f) == 1)
		ok(buf_printf(out, " %u", f.number));
	ok(buf_printf(out, "%s%s\n", row->same ? " =" : "", row->bare ? " bare" : ""));
	return 0;
}

static int on_values(void *arg, uint32_t labels, const struct schema_trail_value *values, size_t n)
{
	return 0;
}

static int on_histogram(void *arg, uint32_t labels, const struct schema_metric *metric, uint32_t *column,
			const uint8_t *data, size_t len)
{
	return 0;
}

static int on_any(void *arg, const struct schema_sample *sample)
{
	return 0;
}

static int on_forget(void *arg)
{
	return 0;
}

static int follow(struct schema_trail *trail, const uint8_t *data, size_t len, struct buf *out)
{
	const struct schema_trail_taker taker = {.arg = out,
						 .labels = on_labels,
						 .values = on_values,
						 .histogram = on_histogram,
						 .custom = on_any,
						 .forget = on_forget,
						 .row = on_row};
	return schema_trail_walk(trail, data, len, &taker);
}

static struct schema_trail *trail_new(size_t max_bytes)
{
	struct schema_trail *trail;
	ok(schema_trail_new(schema, max_bytes, &trail));
	return trail;
}

static void follow_text(struct schema_trail *trail, const char *text, const char *expected)
{
	struct buf payload BUF_CLEANUP = BUF_INIT(1 << 16), out BUF_CLEANUP = BUF_INIT(1 << 16);
	json(text, &payload);
	ok(follow(trail, payload.data, payload.len, &out));
	ok(buf_append(&out, "", 1));
	assert_string_equal((char *)out.data, expected);
}

static void rows_of(const char *text, const char *expected)
{
	struct schema_trail *trail = trail_new(1 << 20), *none = trail_new(0);
	follow_text(trail, text, expected);
	follow_text(none, text, expected);
	schema_trail_free(trail);
	schema_trail_free(none);
	forget_labels();
}

static void rows_say_who_they_are(void **state)
{
	rows_of("{}", "");
	rows_of("{\"sequence\":5,\"interval_ms\":1000}", "");
	rows_of("{\"perf\":{\"state\":{\"code\":\"unavailable\",\"reason\":\"no_pmu\"}}}", "18[] 1 bare\n");
	rows_of("{\"processes\":{\"state\":{\"code\":\"ok\"},\"processes\":[{\"pid\":1,\"start_time_us\":5,\"comm\":"
		"\"a\","
		"\"process_state\":\"running\",\"cpu_us\":3},{\"pid\":2,\"comm\":\"b\"}],\"source\":\"proc\"}}",
		"23.2[pid=1 start_time_us=5 ] 4 10\n23.2[pid=2 ] 4 bare\n23[] 1 4\n");
	rows_of("{\"cgroups\":{\"cgroups\":[{\"path\":\"/a\",\"id\":7,\"name\":\"n\",\"io\":[{\"device\":\"sda\","
		"\"reads\":1}]}]}}",
		"22.2.43[path=/a id=7 device=sda ]\n22.2[path=/a id=7 ] 3\n22[]\n");
	/* Events are text of their section, counts are rows. */
	rows_of("{\"events\":{\"events\":[{\"kind\":\"boot\"},{\"kind\":\"suspend\"}],\"counts\":[{\"kind\":\"boot\","
		"\"occurrences\":1}]}}",
		"27.3[kind=boot ]\n27[] 2 2\n");
}

/* Of a State what belongs to one reading is left out; the rest is as it came. */
static void states_do_not_tell_the_time(void **state)
{
	struct schema_trail *trail = trail_new(1 << 20);
	for (unsigned i = 0; i < 3; i++) {
		char text[200];
		snprintf(text, sizeof(text),
			 "{\"cpu\":{\"state\":{\"code\":\"ok\",\"reason\":\"r\",\"collected_at_us\":%u,"
			 "\"duration_us\":%u}}}",
			 77 + i, 300 + i);
		follow_text(trail, text, i == 0 ? "11[] 1 bare\n" : "11[] = bare\n");
	}
	schema_trail_free(trail);
	forget_labels();
}

static void what_is_as_before_is_not_told_again(void **state)
{
	struct schema_trail *trail = trail_new(1 << 20);
	follow_text(
		trail,
		"{\"processes\":{\"processes\":[{\"pid\":1,\"comm\":\"a\",\"cpu_us\":3},{\"pid\":2,\"comm\":\"b\"}]}}",
		"23.2[pid=1 ] 4\n23.2[pid=2 ] 4 bare\n23[]\n");
	/* One has a value now, the other another name. */
	follow_text(trail,
		    "{\"processes\":{\"processes\":[{\"pid\":1,\"comm\":\"c\",\"cpu_us\":3},{\"pid\":2,\"comm\":\"b\","
		    "\"cpu_us\":1}]}}",
		    "23.2[pid=1 ] 4\n23.2[pid=2 ] =\n23[] =\n");
	/* One went, one came before it, and one is bare again. */
	follow_text(trail, "{\"processes\":{\"processes\":[{\"pid\":5,\"comm\":\"b\"},{\"pid\":2,\"comm\":\"b\"}]}}",
		    "23.2[pid=5 ] 4 bare\n23.2[pid=2 ] = bare\n23[] = bare\n");
	/* A section that was away. */
	follow_text(trail, "{}", "");
	follow_text(trail, "{\"processes\":{\"processes\":[{\"pid\":1,\"comm\":\"c\"},{\"pid\":2,\"comm\":\"b\"}]}}",
		    "23.2[pid=1 ] = bare\n23.2[pid=2 ] = bare\n23[] = bare\n");
	schema_trail_free(trail);
	forget_labels();
}

/* Rows in rows whose own labels were not read need them all the same. */
static void rows_below_known_rows_have_their_labels(void **state)
{
	struct schema_trail *trail = trail_new(1 << 20);
	follow_text(
		trail,
		"{\"cgroups\":{\"cgroups\":[{\"path\":\"/a\",\"id\":7,\"io\":[{\"device\":\"sda\",\"reads\":1}]}]}}",
		"22.2.43[path=/a id=7 device=sda ]\n22.2[path=/a id=7 ]\n22[]\n");
	follow_text(trail,
		    "{\"cgroups\":{\"cgroups\":[{\"path\":\"/"
		    "a\",\"id\":7,\"io\":[{\"device\":\"sdb\",\"reads\":1},{\"device\":\"sda\",\"reads\":1}]}]}}",
		    "22.2.43[path=/a id=7 device=sdb ]\n22.2.43[path=/a id=7 device=sda ] =\n22.2[path=/a id=7 ] "
		    "=\n22[] =\n");
	schema_trail_free(trail);
	forget_labels();
}

/* Two rows with the same labels: nobody knows which was which, so both are told whole from then on. */
static void twins_are_always_told(void **state)
{
	struct schema_trail *trail = trail_new(1 << 20);
	const char *two = "{\"processes\":{\"processes\":[{\"pid\":1,\"comm\":\"a\"},{\"pid\":1,\"comm\":\"b\"}]}}";
	follow_text(trail, "{\"processes\":{\"processes\":[{\"pid\":1,\"comm\":\"a\"}]}}",
		    "23.2[pid=1 ] 4 bare\n23[] bare\n");
	follow_text(trail, two, "23.2[pid=1 ] = bare\n23.2[pid=1 ] 4 bare\n23[] = bare\n");
	for (unsigned i = 0; i < 2; i++)
		follow_text(trail, two, "23.2[pid=1 ] 4 bare\n23.2[pid=1 ] 4 bare\n23[] = bare\n");
	schema_trail_free(trail);
	forget_labels();
}

/* A label behind a value, where there was none before: only without a memory can it be told. */
static void labels_may_come_late(void **state)
{
	struct schema_trail *trail = trail_new(1 << 20);
	static const struct {
		const char *bytes;
		size_t len;
		const char *expected;
		bool anew;
	} cases[] = {
		{"\xba\x01\x06\x12\x04\x08\x01\x58\x05", 9, "23.2[pid=1 ]\n23[]\n"},
		{"\xba\x01\x08\x12\x06\x08\x01\x58\x05\x08\x02", 11, "23.2[pid=2 ]\n23[]\n", true},
		{"\xba\x01\x06\x12\x04\x58\x05\x08\x02", 9, "23.2[pid=2 ]\n23[] =\n"},
		{"\xba\x01\x06\x12\x04\x58\x05\x08\x02", 9, "23.2[pid=2 ] =\n23[] =\n"},
		{"\xba\x01\x06\x12\x04\x08\x01\x58\x05", 9, "23.2[pid=1 ]\n23[] =\n"},
		{"\xba\x01\x06\x12\x04\x08\x01\x58\x05", 9, "23.2[pid=1 ] =\n23[] =\n"},
		/* It stands before the values: there is no need to begin anew. */
		{"\xba\x01\x08\x12\x06\x08\x01\x10\x07\x58\x05", 11, "23.2[pid=1 start_time_us=7 ]\n23[] =\n"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf out BUF_CLEANUP = BUF_INIT(1 << 16);
		const uint8_t *bytes = (const uint8_t *)cases[i].bytes;
		int r = follow(trail, bytes, cases[i].len, &out);
		assert_int_equal(r, cases[i].anew ? -EAGAIN : 0);
		if (cases[i].anew) {
			schema_trail_free(trail);
			trail = trail_new(1 << 20);
			buf_reset(&out);
			ok(follow(trail, bytes, cases[i].len, &out));
		}
		ok(buf_append(&out, "", 1));
		assert_string_equal((char *)out.data, cases[i].expected);
	}
	schema_trail_free(trail);
	forget_labels();
}

static void malformed_bytes_end_it(void **state)
{
	struct buf payload BUF_CLEANUP = BUF_INIT(1 << 16), out BUF_CLEANUP = BUF_INIT(1 << 16);
	struct schema_trail *trail = trail_new(1 << 20);
	json("{\"perf\":{\"state\":{\"code\":\"ok\"}},\"processes\":{\"processes\":[{\"pid\":1,\"comm\":\"abc\"}]}}",
	     &payload);
	for (unsigned round = 0; round < 2; round++) {
		for (size_t len = 1; len < payload.len; len++) {
			/* A copy of the exact size, so that AddressSanitizer sees a read past the end. */
			uint8_t *copy = malloc(len);
			assert_non_null(copy);
			memcpy(copy, payload.data, len);
			buf_reset(&out);
			int r = follow(trail, copy, len, &out);
			free(copy);
			if (r == -EAGAIN) {
				schema_trail_free(trail);
				trail = trail_new(1 << 20);
				continue;
			}
			assert_true(r == -EPROTO || len == 7); /* a whole section is a whole snapshot */
		}
		ok(follow(trail, payload.data, payload.len, &out));
	}
	payload.data[payload.len - 1] = 0xff; /* no UTF-8 */
	assert_int_equal(follow(trail, payload.data, payload.len, &out), -EAGAIN);
	schema_trail_free(trail);
	trail = trail_new(1 << 20);
	assert_int_equal(follow(trail, payload.data, payload.len, &out), -EPROTO);
	schema_trail_free(trail);
	forget_labels();
}

/* --- together --- */

struct taking {
	struct schema_assembly *assembly;
	uint32_t n;
	bool backwards;
	struct {
		struct schema_place place;
		struct schema_label_value labels[SCHEMA_MAX_LABELS];
		enum schema_value_type type;
		uint64_t value;
		struct schema_histogram histogram;
	} samples[64];
};

static int on_sample(void *arg, const struct schema_sample *sample)
{
	struct taking *t = arg;
	assert_true(t->n < 64);
	t->samples[t->n].place = (struct schema_place){.n_numbers = sample->metric->n_numbers,
						       .labels = t->samples[t->n].labels,
						       .n_labels = sample->n_labels};
	memcpy(t->samples[t->n].place.numbers, sample->metric->numbers, sizeof(sample->metric->numbers));
	memcpy(t->samples[t->n].labels, sample->labels, sample->n_labels * sizeof(*sample->labels));
	t->samples[t->n].type = sample->type;
	t->samples[t->n].value = sample->u;
	if (sample->type == SCHEMA_VALUE_HISTOGRAM)
		ok(schema_histogram_parse(sample->histogram.data, sample->histogram.len, &t->samples[t->n].histogram));
	t->n++;
	return 0;
}

static void add_all(struct taking *t, bool backwards)
{
	for (uint32_t i = 0; i < t->n; i++) {
		uint32_t k = backwards ? t->n - 1 - i : i;
		if (t->samples[k].type == SCHEMA_VALUE_HISTOGRAM)
			ok(schema_assembly_histogram(t->assembly, &t->samples[k].place, &t->samples[k].histogram));
		else
			ok(schema_assembly_value(t->assembly, &t->samples[k].place, t->samples[k].type,
						 t->samples[k].value));
	}
}

static void same_json(const struct buf *payload, const char *expected)
{
	struct buf text BUF_CLEANUP = BUF_INIT(1 << 16);
	ok(schema_json(schema, "sonde.v1.Snapshot", payload->data, payload->len, &text));
	ok(buf_append(&text, "", 1));
	assert_string_equal((char *)text.data, expected);
}

/* In whatever order values come: what was taken apart is there again. */
static void values_find_their_rows(void **state)
{
	static const char text[] =
		"{\"cpu\":{\"cores\":[{\"cpu\":0,\"user_us\":5},{\"cpu\":1,\"user_us\":18446744073709551615},{\"cpu\":"
		"10,"
		"\"user_us\":0}],\"load1\":0.25},"
		"\"tcp\":{\"families\":[{\"family\":\"ipv4\",\"active_opens\":1,\"active_setup_us\":{\"scheme\":\"log_"
		"linear_4\","
		"\"sum\":9,\"indexes\":[1,9],\"counts\":[4,1]}},{\"family\":\"ipv6\",\"active_opens\":2}]},"
		"\"cgroups\":{\"cgroups\":[{\"path\":\"/"
		"a\",\"id\":7,\"cpu_us\":3,\"io\":[{\"device\":\"sda\",\"reads\":1},{\"device\":"
		"\"sdb\",\"reads\":2}]},{\"path\":\"/b\",\"id\":1,\"io\":[{\"device\":\"sda\",\"reads\":4}]}]},"
		"\"events\":{\"counts\":[{\"kind\":\"boot\",\"occurrences\":1},{\"kind\":\"clock_step\","
		"\"occurrences\":2}]}}";
	static const uint32_t sections[] = {11, 21, 22, 27};
	struct taking *t = calloc(1, sizeof(*t));
	struct buf payload BUF_CLEANUP = BUF_INIT(1 << 16), again BUF_CLEANUP = BUF_INIT(1 << 16);
	assert_non_null(t);
	json(text, &payload);
	ok(schema_walk(schema, payload.data, payload.len, on_sample, t));
	ok(schema_assembly_new(schema, &t->assembly));
	for (int backwards = 0; backwards < 2; backwards++) {
		buf_reset(&again);
		schema_assembly_clear(t->assembly);
		add_all(t, backwards);
		for (size_t i = 0; i < 4; i++)
			ok(schema_assembly_put(t->assembly, sections[i], NULL, NULL, &again));
		/* Nothing was added of this one. */
		ok(schema_assembly_put(t->assembly, 12, NULL, NULL, &again));
		same_json(&again, text);
	}
	/* What comes after it was put is put with the rest. */
	const struct schema_place row = {.numbers = {18}, .n_numbers = 1};
	ok(schema_assembly_row(t->assembly, &row));
	size_t before = again.len;
	ok(schema_assembly_put(t->assembly, 18, NULL, NULL, &again));
	assert_int_equal(again.len, before + 3);
	schema_assembly_free(t->assembly);
	free(t);
}

static void places_the_schema_has_not_are_refused(void **state)
{
	const struct schema_label_value pid = {.name = "pid", .number = 4}, other = {.name = "colour", .number = 4};
	const struct schema_histogram histogram = {.sum = 1};
	struct schema_assembly *assembly;
	struct buf out BUF_CLEANUP = BUF_INIT(1 << 16);
	ok(schema_assembly_new(schema, &assembly));
	struct schema_place place = {.numbers = {23, 2, 11}, .n_numbers = 3, .labels = &pid, .n_labels = 1};
	assert_int_equal(schema_assembly_value(assembly, &place, SCHEMA_VALUE_DOUBLE, 1), -ENOENT);
	assert_int_equal(schema_assembly_value(assembly, &place, SCHEMA_VALUE_HISTOGRAM, 1), -ENOENT);
	assert_int_equal(schema_assembly_histogram(assembly, &place, &histogram), -ENOENT);
	place.labels = &other;
	assert_int_equal(schema_assembly_value(assembly, &place, SCHEMA_VALUE_UINT, 1), -ENOENT);
	place.labels = &pid;
	place.numbers[2] = 4; /* a text */
	assert_int_equal(schema_assembly_value(assembly, &place, SCHEMA_VALUE_UINT, 1), -ENOENT);
	place.numbers[2] = 400;
	assert_int_equal(schema_assembly_value(assembly, &place, SCHEMA_VALUE_UINT, 1), -ENOENT);
	place.numbers[0] = 3; /* no section */
	assert_int_equal(schema_assembly_value(assembly, &place, SCHEMA_VALUE_UINT, 1), -ENOENT);
	place.n_numbers = 0;
	assert_int_equal(schema_assembly_row(assembly, &place), -ENOENT);
	assert_int_equal(schema_assembly_custom(assembly, 11, "a", NULL, 0, SCHEMA_KIND_GAUGE, SCHEMA_UNIT_NONE,
						SCHEMA_VALUE_UINT, 1),
			 -ENOENT);
	schema_assembly_free(assembly);
	schema_assembly_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_say_who_they_are),
		cmocka_unit_test(states_do_not_tell_the_time),
		cmocka_unit_test(what_is_as_before_is_not_told_again),
		cmocka_unit_test(rows_below_known_rows_have_their_labels),
		cmocka_unit_test(twins_are_always_told),
		cmocka_unit_test(labels_may_come_late),
		cmocka_unit_test(malformed_bytes_end_it),
		cmocka_unit_test(values_find_their_rows),
		cmocka_unit_test(places_the_schema_has_not_are_refused),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
