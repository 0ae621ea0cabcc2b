#include "agent/doctor/report.h"
#include "tests/unit/cmocka_all.h"

#include <jansson.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct report report;

static int setup(void **state)
{
	memset(&report, 0, sizeof(report));
	return 0;
}

static char *text_of(int (*write)(const struct report *, const char *, struct buf *))
{
	struct buf out = BUF_INIT(REPORT_TEXT_MAX);
	assert_int_equal(write(&report, "1.2", &out), 0);
	assert_int_equal(buf_append(&out, "", 1), 0);
	return (char *)out.data;
}

static void test_well(void **state)
{
	assert_true(report_is_well(&report));
	(void)report_add(&report, "a", VERDICT_OK, "one");
	(void)report_add(&report, "a", VERDICT_NOTE, "two");
	assert_true(report_is_well(&report));
	char *text = text_of(report_text);
	assert_non_null(strstr(text, "Everything this host has works."));
	free(text);
	(void)report_add(&report, "a", VERDICT_LIMITED, "three");
	assert_false(report_is_well(&report));
	text = text_of(report_text);
	assert_non_null(strstr(text, "\n0 failed, 1 limited; all others work.\n"));
	free(text);
}

static void test_text(void **state)
{
	finding_value(report_add(&report, "kernel", VERDICT_OK, "short"), "%d", 5);
	struct finding *f = report_add(&report, "kernel", VERDICT_FAILED, "a longer one");
	finding_value(f, "denied");
	finding_remedy(f, "why", "grant %s", "it");
	(void)report_add(&report, "rights", VERDICT_NOTE, "x");
	char *text = text_of(report_text);
	assert_string_equal(text, "1.2\n\n"
				  "kernel\n"
				  "  ok       short         5\n"
				  "  failed   a longer one  denied\n"
				  "                         grant it\n"
				  "\nrights\n"
				  "  note     x  \n"
				  "\n1 failed, 0 limited; all others work.\n");
	free(text);
}

static void test_json(void **state)
{
	struct finding *f = report_add(&report, "a", VERDICT_FAILED, "quo\"te\\\n\x01\xff");
	finding_value(f, "\"%s\"", "\xc3\xa9");
	finding_remedy(f, "why", "\t");
	(void)report_add(&report, "b", VERDICT_OK, "x");
	char *text = text_of(report_json);
	json_error_t error;
	json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, &error);
	assert_non_null(root);
	assert_string_equal(json_string_value(json_object_get(root, "version")), "1.2");
	assert_true(json_is_false(json_object_get(root, "well")));
	json_t *findings = json_object_get(root, "findings");
	assert_int_equal(json_array_size(findings), 2);
	json_t *first = json_array_get(findings, 0);
	assert_string_equal(json_string_value(json_object_get(first, "name")), "quo\"te\\???");
	assert_string_equal(json_string_value(json_object_get(first, "value")), "\"\xc3\xa9\"");
	assert_string_equal(json_string_value(json_object_get(first, "verdict")), "failed");
	assert_string_equal(json_string_value(json_object_get(first, "reason")), "why");
	assert_string_equal(json_string_value(json_object_get(first, "group")), "a");
	json_decref(root);
	free(text);
}

static void test_full(void **state)
{
	char name[8];
	for (int i = 0; i < REPORT_MAX + 10; i++) {
		(void)snprintf(name, sizeof(name), "%d", i);
		finding_value(report_add(&report, "a", VERDICT_OK, name), "value");
	}
	assert_int_equal(report.n, REPORT_MAX - 1);
	assert_int_equal(report.left_out, 11);
	assert_string_equal(report.findings[REPORT_MAX - 2].name, "510");
	char *text = text_of(report_text);
	assert_non_null(strstr(text, "11 more findings had no room"));
	free(text);
}

static void test_long_texts_are_cut(void **state)
{
	char text[1000];
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	struct finding *f = report_add(&report, "a", VERDICT_OK, text);
	finding_value(f, "%s", text);
	finding_remedy(f, text, "%s", text);
	assert_int_equal(strlen(f->name), sizeof(f->name) - 1);
	assert_int_equal(strlen(f->value), sizeof(f->value) - 1);
	assert_int_equal(strlen(f->reason), sizeof(f->reason) - 1);
	assert_int_equal(strlen(f->remedy), sizeof(f->remedy) - 1);
}

static void test_no_room(void **state)
{
	struct buf out = BUF_INIT(20);
	(void)report_add(&report, "a", VERDICT_OK, "a name that does not fit");
	assert_int_equal(report_text(&report, "title", &out), -EMSGSIZE);
	buf_reset(&out);
	assert_int_equal(report_json(&report, "title", &out), -EMSGSIZE);
	buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_well, setup),
		cmocka_unit_test_setup(test_text, setup),
		cmocka_unit_test_setup(test_json, setup),
		cmocka_unit_test_setup(test_full, setup),
		cmocka_unit_test_setup(test_long_texts_are_cut, setup),
		cmocka_unit_test_setup(test_no_room, setup),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
