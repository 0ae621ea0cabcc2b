/* Forms and headers as browsers send them, and as attackers do. */
#include "backend/web/headers.h"
#include "backend/web/urlencoded.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int field(const char *body, const char *name, char *ret, size_t size)
{
	return urlencoded_field(body, strlen(body), name, ret, size);
}

static void forms_are_decoded(void **state)
{
	char value[64];
	assert_int_equal(field("username=admin&password=a+b%2B%26%3d%C3%A9", "password", value, sizeof(value)), 0);
	assert_string_equal(value, "a b+&=\xc3\xa9");
	assert_int_equal(field("username=admin&password=x", "username", value, sizeof(value)), 0);
	assert_string_equal(value, "admin");
	assert_int_equal(field("user%6eame=encoded", "username", value, sizeof(value)), 0);
	assert_string_equal(value, "encoded");
	assert_int_equal(field("a&username=&b", "username", value, sizeof(value)), 0);
	assert_string_equal(value, "");
	assert_int_equal(field("username", "username", value, sizeof(value)), 0);
	assert_string_equal(value, "");
	assert_int_equal(field("&&&username=x=y&&", "username", value, sizeof(value)), 0);
	assert_string_equal(value, "x=y");
}

static void bad_forms_are_refused(void **state)
{
	static const struct {
		const char *body;
		int want;
	} cases[] = {
		{"", -ENOENT},
		{"xusername=a&usernamex=b&=username", -ENOENT},
		{"username=a&username=b", -EPROTO},
		{"username=a&user%6eame=b", -EPROTO},
		{"username=%", -EPROTO},
		{"username=%4", -EPROTO},
		{"username=%4g", -EPROTO},
		{"username=%00", -EPROTO},
		{"username=a%00b", -EPROTO},
		{"username=%ff", -EPROTO},
		{"username=%c0%ae", -EPROTO},
		{"username=%ed%a0%80", -EPROTO},
		{"%zz=1&username=a", 0}, /* too short to be our field: not looked at */
		{"%zz%zz%zz=1&username=a", -EPROTO},
		{"username=12345678", -EMSGSIZE},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char value[8] = "same";
		assert_int_equal(field(cases[i].body, "username", value, sizeof(value)), cases[i].want);
		if (cases[i].want < 0)
			assert_string_equal(value, "same");
	}
	char value[8];
	char *large = malloc(100000);
	assert_non_null(large);
	memset(large, 'a', 100000);
	memcpy(large, "username=", 9);
	assert_int_equal(urlencoded_field(large, 100000, "username", value, sizeof(value)), -EMSGSIZE);
	assert_int_equal(urlencoded_field("username=a\0b", 12, "username", value, sizeof(value)), -EPROTO);
	assert_int_equal(urlencoded_field("username=ab", 10, "username", value, sizeof(value)), 0);
	assert_string_equal(value, "a"); /* the length counts, not a terminator */
	free(large);
}

static void cookies_are_found(void **state)
{
	char value[16];
	assert_int_equal(headers_cookie("sonde_token=abc", "sonde_token", value, sizeof(value)), 0);
	assert_string_equal(value, "abc");
	assert_int_equal(headers_cookie("a=1; sonde_token=abc ;b=2", "sonde_token", value, sizeof(value)), 0);
	assert_string_equal(value, "abc");
	assert_int_equal(headers_cookie("sonde_token=", "sonde_token", value, sizeof(value)), 0);
	assert_string_equal(value, "");
	assert_int_equal(headers_cookie("sonde_token=a; sonde_token=a", "sonde_token", value, sizeof(value)), 0);
	static const struct {
		const char *cookies;
		int want;
	} cases[] = {
		{"", -ENOENT},
		{"sonde_token", -ENOENT},
		{"xsonde_token=a; sonde_tokenx=b; Sonde_Token=c", -ENOENT},
		{";;; ; =", -ENOENT},
		{"a=sonde_token=x", -ENOENT},
		{"sonde_token=a; sonde_token=b", -EPROTO},
		{"sonde_token=1234567890123456", -EMSGSIZE},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(headers_cookie(cases[i].cookies, "sonde_token", value, sizeof(value)), cases[i].want);
}

static void bearer_tokens(void **state)
{
	assert_string_equal(headers_bearer("Bearer abc.def"), "abc.def");
	assert_string_equal(headers_bearer("bearer   x"), "x");
	assert_null(headers_bearer(""));
	assert_null(headers_bearer("Bearer"));
	assert_null(headers_bearer("Bearer "));
	assert_null(headers_bearer("Bearerabc"));
	assert_null(headers_bearer("Basic YTpi"));
	assert_null(headers_bearer("Bearer a b"));
	assert_null(headers_bearer("Bearer a, Bearer b"));
}

static void origins(void **state)
{
	assert_true(headers_same_origin("http://127.0.0.1:8000", "127.0.0.1:8000"));
	assert_true(headers_same_origin("https://Sonde.example", "sonde.example"));
	assert_true(headers_same_origin("https://sonde.example", "sonde.example:443"));
	assert_true(headers_same_origin("http://sonde.example:80", "sonde.example"));
	assert_true(headers_same_origin("http://[::1]:8000", "[::1]:8000"));
	static const char *const foreign[] = {
		"",
		"null",
		"http://",
		"http://a:8000.evil.example",
		"http://evil.example",
		"http://a",
		"http://a:8001",
		"http://a:8000/",
		"http://a:8000@evil.example",
		"http://evil.example#a:8000",
		"http://evil.example?a:8000",
		"ftp://a:8000",
		"file://",
		"a:8000",
		"http://a:8000, http://evil.example",
		"http://a:8000 ",
		"http://a:",
		"http://a:8000x",
		"http://xa:8000",
		"http://[a:8000",
		"http://a:8000:8000",
	};
	for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++)
		assert_false(headers_same_origin(foreign[i], "a:8000"));
	assert_false(headers_same_origin("http://a", ""));
	assert_false(headers_same_origin("http://a", "a:443")); /* http's port is 80 */
	assert_false(headers_same_origin("http://", ""));
}

static void entity_tags(void **state)
{
	assert_true(headers_etag_matches("\"a\"", "\"a\""));
	assert_true(headers_etag_matches("W/\"a\"", "\"a\""));
	assert_true(headers_etag_matches("\"x\", \"y\" , \"a\"", "\"a\""));
	assert_true(headers_etag_matches("*", "\"a\""));
	assert_true(headers_etag_matches("\"a,b\"", "\"a,b\""));
	static const char *const none[] = {"", "a", "\"a", "\"b\"", "\"aa\"", "W/a", "* x", "\"b\" \"a\"", "\"", ","};
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		assert_false(headers_etag_matches(none[i], "\"a\""));
}

static void encodings(void **state)
{
	static const char *const yes[] = {"gzip",	"GZIP",		  "br, gzip", "gzip;q=1",
					  "gzip;q=0.5", "gzip ; q=0.001", "*",	      "br;q=0, *;q=0.1"};
	static const char *const no[] = {"",	  "br",		 "xgzip",   "gzipx", "gzip;q=0", "gzip; q=0.000",
					 "*;q=0", "gzip;q=0, *", "identity"};
	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
		assert_true(headers_accepts(yes[i], "gzip"));
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		assert_false(headers_accepts(no[i], "gzip"));
}

static void lengths(void **state)
{
	uint64_t value = 7;
	assert_int_equal(headers_length("0", &value), 0);
	assert_int_equal(value, 0);
	assert_int_equal(headers_length("922337203685477580", &value), 0);
	assert_true(value == 922337203685477580u);
	static const char *const bad[] = {
		"", "-1", "+1", " 1", "1 ", "1,1", "0x10", "1e3", "9223372036854775808", "99999999999999999999"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(headers_length(bad[i], &value), -EPROTO);
}

static void lists(void **state)
{
	assert_true(headers_list_has("sonde.v1", "sonde.v1"));
	assert_true(headers_list_has("a,sonde.v1 , b", "sonde.v1"));
	assert_false(headers_list_has("", "sonde.v1"));
	assert_false(headers_list_has("sonde.v10, xsonde.v1, sonde.v", "sonde.v1"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forms_are_decoded),
		cmocka_unit_test(bad_forms_are_refused),
		cmocka_unit_test(cookies_are_found),
		cmocka_unit_test(bearer_tokens),
		cmocka_unit_test(origins),
		cmocka_unit_test(entity_tags),
		cmocka_unit_test(encodings),
		cmocka_unit_test(lengths),
		cmocka_unit_test(lists),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
