/* Captures standard error through a pipe: what a log collector would read. */
#include "tests/unit/cmocka_all.h"

#include "common/log.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <unistd.h>

static char text[8192];

/* The one line a call wrote, without its end; "" if it wrote nothing. */
static const char *capture(enum log_level level, enum log_format format, enum log_level at, const char *message,
			   const char *value)
{
	int fds[2], saved = dup(2);
	assert_int_equal(pipe(fds), 0);
	dup2(fds[1], 2);
	log_configure(level, format);
	log_write(at, message,
		  LOG_FIELDS_(LOG_STR("value", value), LOG_INT("n", -5), LOG_UINT("u", UINT64_MAX),
			      LOG_DOUBLE("d", 0.5)));
	dup2(saved, 2);
	close(saved);
	close(fds[1]);
	ssize_t n = read(fds[0], text, sizeof(text) - 1);
	close(fds[0]);
	assert_true(n >= 0);
	if (n > 0)
		assert_int_equal(text[n - 1], '\n');
	text[n > 0 ? n - 1 : 0] = '\0';
	assert_null(strchr(text, '\n'));
	return text;
}

static void test_logfmt(void **state)
{
	const char *line = capture(LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT, LOG_LEVEL_WARN, "two words", "plain");
	assert_non_null(strstr(line, " level=warn msg=\"two words\" value=plain n=-5 u=18446744073709551615 d=0.5"));
	assert_memory_equal(line, "time=2", 6);
	line = capture(LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT, LOG_LEVEL_WARN, "m", "evil\nlevel=error msg=\"forged\"");
	assert_non_null(strstr(line, "value=\"evil\\u000alevel=error msg=\\\"forged\\\"\""));
	assert_non_null(strstr(capture(LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT, LOG_LEVEL_WARN, "m", NULL), "value=\"\""));
	assert_string_equal(capture(LOG_LEVEL_WARN, LOG_FORMAT_LOGFMT, LOG_LEVEL_INFO, "m", "x"), "");
}

static void test_json_is_json_whatever_is_logged(void **state)
{
	char every[256];
	for (int i = 0; i < 255; i++)
		every[i] = (char)(i < 127 ? i + 1 : 'x');
	every[255] = '\0';
	const char *line = capture(LOG_LEVEL_DEBUG, LOG_FORMAT_JSON, LOG_LEVEL_ERROR, "a \"quoted\" \\ message", every);
	json_t *object = json_loads(line, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, NULL);
	assert_non_null(object);
	assert_string_equal(json_string_value(json_object_get(object, "value")), every);
	assert_string_equal(json_string_value(json_object_get(object, "msg")), "a \"quoted\" \\ message");
	assert_true(json_real_value(json_object_get(object, "n")) == -5);
	json_decref(object);
	object = json_loads(capture(LOG_LEVEL_DEBUG, LOG_FORMAT_JSON, LOG_LEVEL_ERROR, "m", "not \xff UTF-8"),
			    JSON_DECODE_INT_AS_REAL, NULL);
	assert_non_null(object);
	assert_string_equal(json_string_value(json_object_get(object, "value")), "not ? UTF-8");
	json_decref(object);
}

static void test_a_long_line_is_cut_not_lost(void **state)
{
	static char huge[100000];
	memset(huge, 'y', sizeof(huge) - 1);
	const char *line = capture(LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT, LOG_LEVEL_INFO, "m", huge);
	assert_true(strlen(line) > 1000 && strlen(line) < 2100);
}

static void test_parse(void **state)
{
	enum log_level level = LOG_LEVEL_ERROR;
	enum log_format format;
	assert_int_equal(log_level_parse("debug", &level), 0);
	assert_int_equal(level, LOG_LEVEL_DEBUG);
	assert_int_equal(log_level_parse("Debug", &level), -EINVAL);
	assert_int_equal(log_level_parse("", &level), -EINVAL);
	assert_int_equal(log_format_parse("json", &format), 0);
	assert_int_equal(log_format_parse("xml", &format), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_logfmt),
		cmocka_unit_test(test_json_is_json_whatever_is_logged),
		cmocka_unit_test(test_a_long_line_is_cut_not_lost),
		cmocka_unit_test(test_parse),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
