/* Which paths name a file at all. */
#include "backend/web/static_path.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void files_are_resolved(void **state)
{
	static const struct {
		const char *path, *want;
	} cases[] = {
		{"/", "index.html"},
		{"/index.html", "index.html"},
		{"/assets/index-Ab3_dE-9.js", "assets/index-Ab3_dE-9.js"},
		{"/a b/\xc3\xa9.svg", "a b/\xc3\xa9.svg"},
		{"/a..b/c.", "a..b/c."},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char file[STATIC_PATH_MAX];
		assert_int_equal(static_path_resolve(cases[i].path, strlen(cases[i].path), file), 0);
		assert_string_equal(file, cases[i].want);
	}
}

static void nothing_else_is(void **state)
{
	static const char *const paths[] = {
		"",	   "index.html", "//",	  "//etc/passwd", "/a//b", "/a/",      "/..",	"/../x",
		"/a/../b", "/a/..",	 "/.",	  "/./a",	  "/a/.",  "/.git",    "/a/.b", "/..\\..\\x",
		"\\..\\",  "/a\\b",	 "/a\nb", "/a\x7f",	  "/...",  "/....//x",
	};
	char file[STATIC_PATH_MAX] = "same";
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		assert_int_equal(static_path_resolve(paths[i], strlen(paths[i]), file), -ENOENT);
	assert_int_equal(static_path_resolve("/a\0b.html", 9, file), -ENOENT);
	assert_int_equal(static_path_resolve("/\0", 2, file), -ENOENT);
	char large[STATIC_PATH_MAX + 1];
	memset(large, 'a', sizeof(large));
	large[0] = '/';
	assert_int_equal(static_path_resolve(large, STATIC_PATH_MAX, file), -EMSGSIZE);
	assert_string_equal(file, "same");
	assert_int_equal(static_path_resolve(large, STATIC_PATH_MAX - 1, file), 0);
}

static bool is_view(const char *path)
{
	return static_path_is_view(path, strlen(path));
}

static void views(void **state)
{
	assert_true(is_view("/"));
	assert_true(is_view("/hosts/web-1"));
	assert_true(is_view("/a.b/c"));
	assert_true(is_view("/apiary"));
	assert_false(is_view("/api"));
	assert_false(is_view("/api/"));
	assert_false(is_view("/api/servers"));
	assert_false(is_view("/hosts/web.example"));
	assert_false(is_view("/a/b.js"));
	assert_false(is_view(""));
	assert_false(is_view("hosts"));
	assert_false(is_view("/a\\b"));
	assert_false(static_path_is_view("/a\0b", 4));
}

static void types(void **state)
{
	assert_string_equal(static_path_type("index.html"), "text/html; charset=utf-8");
	assert_string_equal(static_path_type("assets/a-b.c.js"), "text/javascript; charset=utf-8");
	assert_string_equal(static_path_type("a.woff2"), "font/woff2");
	assert_string_equal(static_path_type("a.svg"), "image/svg+xml");
	assert_string_equal(static_path_type("a.js.exe"), "application/octet-stream");
	assert_string_equal(static_path_type("a.html/b"), "application/octet-stream");
	assert_string_equal(static_path_type("noextension"), "application/octet-stream");
	assert_string_equal(static_path_type(""), "application/octet-stream");
}

static void hashed(void **state)
{
	assert_true(static_path_is_hashed("assets/index-abcd1234.js"));
	assert_true(static_path_is_hashed("assets/index-a-_d1234.css"));
	assert_true(static_path_is_hashed("assets/a/b-abcd1234.js.map"));
	assert_false(static_path_is_hashed("assets/index.js"));
	assert_false(static_path_is_hashed("assets/index-abc.js"));
	assert_false(static_path_is_hashed("assets/index-abcd123!.js"));
	assert_false(static_path_is_hashed("assets/-.js"));
	assert_false(static_path_is_hashed("assets/"));
	assert_false(static_path_is_hashed("index-abcd1234.js"));
	assert_false(static_path_is_hashed("index.html"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_are_resolved),
		cmocka_unit_test(nothing_else_is),
		cmocka_unit_test(views),
		cmocka_unit_test(types),
		cmocka_unit_test(hashed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
