/* What is hidden and what is not. In the tables '|' stands between arguments. */
#include "agent/processes/command_line.h"
#include "agent/processes/secret_names.h"
#include "tests/unit/agent/exact.h"
#include "tests/unit/cmocka_all.h"

#include <stdio.h>

#define SECRET "hunter2"

static size_t arguments(const char *text, char *raw, size_t size)
{
	size_t len = strlen(text);
	assert_true(len + 1 < size);
	memcpy(raw, text, len + 1);
	for (size_t i = 0; i < len; i++) {
		if (raw[i] == '|')
			raw[i] = '\0';
	}
	return len + 1;
}

static const char *scrub(const char *text)
{
	static char out[4096];
	char raw[2048];
	size_t len = arguments(text, raw, sizeof(raw));
	char *copy = exact_copy(raw, len);
	size_t n = command_line_scrub(copy, len, out, sizeof(out));
	free(copy);
	assert_int_equal(strlen(out), n);
	return out;
}

static const struct {
	const char *raw, *want;
} scrubbed[] = {
	/* --name=value, --name value */
	{"app|--password=hunter2|--port=80", "app --password=*** --port=80"},
	{"app|--password=my hunter2 x|-v", "app --password=*** -v"},
	{"app|--password|hunter2|--port|80", "app --password *** --port 80"},
	{"app|--password|my hunter2|-v", "app --password *** -v"},
	{"app|--db-passwd=hunter2", "app --db-passwd=***"},
	{"app|--API_KEY|hunter2", "app --API_KEY ***"},
	{"app|--api-key=hunter2", "app --api-key=***"},
	{"app|-apikey|hunter2", "app -apikey ***"},
	{"app|--client-secret|hunter2", "app --client-secret ***"},
	{"app|--auth|hunter2", "app --auth ***"},
	{"app|--auth-token=hunter2", "app --auth-token=***"},
	{"app|--aws-credential:hunter2", "app --aws-credential:***"},
	{"app|--private-key|hunter2", "app --private-key ***"},
	{"app|--access-key|hunter2", "app --access-key ***"},
	{"app|--password='hunter2'", "app --password='***'"},
	{"app|-Dspring.datasource.password=hunter2|-jar|x.jar", "app -Dspring.datasource.password=*** -jar x.jar"},
	{"app|--set|db.user=joe,db.password=hunter2,x", "app --set db.user=joe,db.password=***"},
	{"app|/p:x|/password:hunter2", "app /p:x /password:***"},
	/* A value that begins like an option, and one that is one. */
	{"app|--password|-hunter2|x", "app --password *** x"},
	{"app|--auth|--password|hunter2|x", "app --auth *** *** x"},
	{"app|--auth|--password=hunter2|x", "app --auth *** x"},
	{"app|--password||x", "app --password *** x"},
	{"app|--password", "app --password"},
	/* environment, connection strings */
	{"env|PGPASSWORD=hunter2|psql", "env PGPASSWORD=*** psql"},
	{"env|MYSQL_PWD=hunter2|x", "env MYSQL_PWD=*** x"},
	{"docker|run|-e|API_TOKEN=hunter2|img", "docker run -e API_TOKEN=*** img"},
	{"psql|host=h user=u password=hunter2 dbname=d", "psql host=h user=u password=*** dbname=d"},
	{"psql|host=h password = 'hunter2 hunter2' dbname=d", "psql host=h password = '***' dbname=d"},
	{"x|Server=h;Password=hunter2;Database=d", "x Server=h;Password=***"},
	/* one letter */
	{"mysql|-uroot|-phunter2|db", "mysql -uroot -p*** db"},
	{"/usr/bin/mysqldump|-phunter2 hunter2|db", "/usr/bin/mysqldump -p*** db"},
	{"mysql|-p|db", "mysql -p db"},
	{"sudo|sshpass|-p|hunter2|ssh|h", "sudo sshpass -p *** ssh h"},
	{"sshpass|-phunter2|ssh|h", "sshpass -p*** ssh h"},
	{"redis-cli|-h|h|-a|hunter2|ping", "redis-cli -h h -a *** ping"},
	{"curl|-u|joe:hunter2|http://h/", "curl -u *** http://h/"},
	{"ldapsearch|-x|-w|hunter2", "ldapsearch -x -w ***"},
	{"docker|login|-u|joe|-p|hunter2", "docker login -u joe -p ***"},
	{"docker|run|-p|8080:80|img", "docker run -p 8080:80 img"},
	{"ls|-phunter2", "ls -phunter2"},
	{"openssl|rsa|-passin|pass:hunter2", "openssl rsa -passin ***"},
	/* URLs */
	{"app|postgres://joe:hunter2@h:5432/d", "app postgres://joe:***@h:5432/d"},
	{"app|--url=amqp://joe:hunter2@h/", "app --url=amqp://joe:***@h/"},
	{"app|redis://:hunter2@h/", "app redis://:***@h/"},
	{"app|http://joe:hun@ter2@h/", "app http://joe:***@h/"},
	{"git|clone|https://hunter2hunter2hunter2@h/r", "git clone https://***@h/r"},
	{"app|http://h:80/x|ssh://joe@h/", "app http://h:80/x ssh://joe@h/"},
	{"curl|http://h/?access_token=hunter2", "curl http://h/?access_token=***"},
	/* headers */
	{"curl|-H|Authorization: Bearer hunter2|http://h/", "curl -H Authorization: *** http://h/"},
	{"curl|-HAuthorization:Basic hunter2|http://h/", "curl -HAuthorization:*** http://h/"},
	{"curl|-H|X-Api-Key: hunter2", "curl -H X-Api-Key: ***"},
	{"curl|-H|Cookie: a=hunter2; b=hunter2", "curl -H Cookie: ***"},
	{"app|Authorization:|Bearer|hunter2|x", "app Authorization: *** *** x"},
	{"app|Bearer|hunter2|x", "app Bearer *** x"},
	/* inside the argument of a shell */
	{"sh|-c|mysql -phunter2 db", "sh -c mysql -p*** db"},
	{"sh|-c|app --password hunter2 --port 80", "sh -c app --password *** --port 80"},
	{"sh|-c|app --password 'hunter2 hunter2' --port 80", "sh -c app --password '***' --port 80"},
	{"sh|-c|app --auth --password hunter2 x", "sh -c app --auth *** *** x"},
	{"sh|-c|export TOKEN=hunter2; app", "sh -c export TOKEN=*** app"},
	{"sh|-c|curl -H \"Authorization: Bearer hunter2\" http://h/", "sh -c curl -H \"Authorization: ***\" http://h/"},
	{"sh|-c|echo {\"password\": \"hunter2\", \"user\": \"joe\"}",
	 "sh -c echo {\"password\": \"***\", \"user\": \"joe\"}"},
	{"sh|-c|PASSWORD=hunter2 app", "sh -c PASSWORD=***"},
	/* by its looks */
	{"app|AKIAIOSFODNN7EXAMPLE", "app ***"},
	{"app|x=AKIAIOSFODNN7EXAMPLE,y", "app x=***,y"},
	{"app|eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "app ***"},
	{"app|-k|ghp_abcdefghijklmnop", "app -k ***"},
	{"app|0123456789abcdef0123456789abcdef", "app ***"},
	{"app|--id=0123456789abcdef0123456789abcdef:x", "app --id=***:x"},
	{"app|wJalrXUtnFEMIK7MDENG/bPxRfiCYEXAMPLEKEY==", "app ***"},
	/* nothing to hide */
	{"/usr/lib/jvm/java-17-openjdk-amd64/bin/java|-Xmx4g", "/usr/lib/jvm/java-17-openjdk-amd64/bin/java -Xmx4g"},
	{"nginx: worker process", "nginx: worker process"},
	{"app|--no-password|db", "app --no-password db"},
	{"app|--password-file=/run/secrets/db", "app --password-file=/run/secrets/db"},
	{"app|--token-file|/run/t", "app --token-file /run/t"},
	{"git|commit|--author=Joe", "git commit --author=Joe"},
	{"app|--id=3f2a1b4c-0000-4000-8000-0123456789ab", "app --id=3f2a1b4c-0000-4000-8000-0123456789ab"},
	{"/opt/some/rather/long/path/without/any/secret/in/it", "/opt/some/rather/long/path/without/any/secret/in/it"},
	{"app|a\nb\tc", "app a b c"},
	{"", ""},
	{"|", ""},
};

static void test_scrub(void **state)
{
	int wrong = 0;
	for (size_t i = 0; i < sizeof(scrubbed) / sizeof(scrubbed[0]); i++) {
		const char *got = scrub(scrubbed[i].raw);
		if (strcmp(got, scrubbed[i].want) != 0) {
			print_error("%s\n  got  %s\n  want %s\n", scrubbed[i].raw, got, scrubbed[i].want);
			wrong++;
		}
	}
	assert_int_equal(wrong, 0);
}

/* Whatever stands around it: the secret does not come out. */
static void test_never_shown(void **state)
{
	static const char *const names[] = {"password", "DB_PASSWD", "api-key", "Secret",
					    "x.token",	"accessKey", "auth"};
	static const char *const forms[] = {
		"a|--%s=" SECRET,
		"a|--%s|" SECRET,
		"a|-%s|" SECRET,
		"a|%s=" SECRET "|b",
		"a|--x|%s=" SECRET,
		"a|b %s=" SECRET " c",
		"a|b,%s=" SECRET,
		"a|%s: " SECRET,
		"a|b --%s " SECRET " c",
		"a|\"%s\": \"" SECRET "\"",
		"a|'%s=" SECRET "'",
		"a|{%s: " SECRET "}",
		"a|--%s=\"" SECRET "\"",
		"a|--%s='" SECRET,
		"a|b;%s=" SECRET,
		"a|http://h/?%s=" SECRET,
		"a|--%s||--%s|" SECRET,
		"a|b\n%s=" SECRET,
		"%s=" SECRET,
		"a|--%s =" SECRET,
		"a|--%s=" SECRET "&x",
		"a|--x=y --%s=" SECRET " z ",
		"a|%s:" SECRET,
		"a|%s => '" SECRET "'",
	};
	for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++) {
		for (size_t f = 0; f < sizeof(forms) / sizeof(forms[0]); f++) {
			char raw[256];
			snprintf(raw, sizeof(raw), forms[f], names[n], names[n]);
			if (strstr(scrub(raw), SECRET))
				fail_msg("%s: %s", raw, scrub(raw));
		}
	}
}

static void test_names(void **state)
{
	static const char *const telling[] = {"password", "PASS",	  "db-pass", "my_pwd",
					      "Token",	  "clientSecret", "x-auth"};
	static const char *const harmless[] = {"", "author", "compass", "path", "key", "user", "passwd_file", "tok"};
	for (size_t i = 0; i < sizeof(telling) / sizeof(telling[0]); i++)
		assert_true(secret_name(telling[i], strlen(telling[i])));
	for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++)
		assert_false(secret_name(harmless[i], strlen(harmless[i])));
	char name[300];
	memset(name, 'x', sizeof(name));
	memcpy(name + sizeof(name) - 8, "password", 8);
	assert_true(secret_name(name, sizeof(name)));
}

static void test_room(void **state)
{
	char out[16];
	memset(out, 'x', sizeof(out));
	assert_int_equal(command_line_scrub("app\0--password\0y", 16, out, 8), 7);
	assert_string_equal(out, "app --p");
	assert_int_equal(out[8], 'x');
	assert_int_equal(command_line_scrub("app", 3, out, 1), 0);
	assert_string_equal(out, "");
}

static void test_text(void **state)
{
	char text[COMMAND_LINE_SIZE], raw[4000];
	assert_int_equal(command_line_text("a\0--token=x\0", 12, false, COMMAND_LINE_OFF, text), 0);
	assert_string_equal(text, "");
	assert_int_equal(command_line_text("a\0--token=x\0", 12, false, COMMAND_LINE_FULL, text), 11);
	assert_string_equal(text, "a --token=x");
	command_line_text("a\0--token=x\0", 12, false, COMMAND_LINE_SCRUBBED, text);
	assert_string_equal(text, "a --token=***");

	/* Cut between two characters, and marked. */
	memset(raw, 'a', sizeof(raw));
	memcpy(raw + COMMAND_LINE_MAX - 1, "\xc3\xa9", 2);
	size_t len = command_line_text(raw, 600, false, COMMAND_LINE_FULL, text);
	assert_int_equal(len, COMMAND_LINE_MAX - 1 + strlen("…"));
	assert_string_equal(text + COMMAND_LINE_MAX - 1, "…");

	/* Half a key does not look like one: what the cut goes through is not shown. */
	for (size_t i = 0; i < 2048; i += 8)
		memcpy(raw + i, "--a\0--b\0", 8);
	memcpy(raw + 40, "--c\0AKIAIOSF", 12);
	len = command_line_text(raw, 52, true, COMMAND_LINE_SCRUBBED, text);
	assert_null(strstr(text, "AKIA"));
	assert_string_equal(text + len - strlen("--c…"), "--c…");
	assert_int_equal(command_line_text("AKIAIOSF", 8, true, COMMAND_LINE_SCRUBBED, text), strlen("…"));
	/* Longer than what is gone through. */
	len = command_line_text(raw, sizeof(raw), false, COMMAND_LINE_SCRUBBED, text);
	assert_true(len <= COMMAND_LINE_MAX + strlen("…"));
}

static void survive(const char *text, size_t len)
{
	char shown[COMMAND_LINE_SIZE], out[64];
	size_t n = command_line_text(text, len, len % 2, COMMAND_LINE_SCRUBBED, shown);
	assert_int_equal(strlen(shown), n);
	assert_true(command_line_scrub(text, len, out, sizeof(out)) < sizeof(out));
}

static void test_torture(void **state)
{
	exact_torture("sh -c \"mysql -px\" --password=y 'token': z http://a:b@c Authorization: Bearer d", survive);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scrub), cmocka_unit_test(test_never_shown), cmocka_unit_test(test_names),
		cmocka_unit_test(test_room),  cmocka_unit_test(test_text),	  cmocka_unit_test(test_torture),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
