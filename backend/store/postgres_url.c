/* libpq refuses parameters it does not know, so ours is cut out of the URL before libpq sees it. Its complaints about a
 * URL quote the part they are about: they are replaced by ours. */
#include "backend/store/postgres_url.h"

#include <errno.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OUR_PARAMETER "citus="
#define URL_MAX 4096 /* the time libpq takes grows with the square */

static const char malformed[] =
	"--store is not a URL that PostgreSQL's client understands: it wants "
	"postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with / @ : % in a password written as %2F "
	"%40 %3A %25";

static int refuse(const char *line, char **ret_error)
{
	*ret_error = strdup(line);
	return *ret_error ? -EINVAL : -ENOMEM;
}

/* Cuts citus=VALUE out of the URL's query. 0 or -EINVAL. */
static int take_citus(char *url, bool *ret)
{
	*ret = false;
	char *p = strchr(url, '?');
	while (p) {
		char *begin = p + 1, *next = strchr(begin, '&');
		size_t len = next ? (size_t)(next - begin) : strlen(begin);
		if (strncmp(begin, OUR_PARAMETER, strlen(OUR_PARAMETER)) != 0) {
			p = next;
			continue;
		}
		const char *value = begin + strlen(OUR_PARAMETER);
		size_t value_len = len - strlen(OUR_PARAMETER);
		bool on = value_len == 2 && memcmp(value, "on", 2) == 0;
		if (!on && (value_len != 3 || memcmp(value, "off", 3) != 0))
			return -EINVAL;
		*ret = on;
		/* What follows moves up; without any the separator before it goes as well. */
		if (!next) {
			*p = '\0';
			return 0;
		}
		memmove(begin, next + 1, strlen(next + 1) + 1);
	}
	return 0;
}

static const char *find(const PQconninfoOption *options, const char *keyword)
{
	for (; options->keyword; options++) {
		if (strcmp(options->keyword, keyword) == 0)
			return options->val && options->val[0] != '\0' ? options->val : NULL;
	}
	return NULL;
}

/* A password that was not encoded ends in the port or in the database's name. */
static bool is_plausible(const PQconninfoOption *options)
{
	const char *port = find(options, "port"), *database = find(options, "dbname"), *host = find(options, "host");
	return (!port || strspn(port, "0123456789,") == strlen(port)) && (!database || !strpbrk(database, "@/:?")) &&
	       (!host || !strchr(host, '@'));
}

static int describe(const PQconninfoOption *options, struct postgres_url *ret)
{
	const char *host = find(options, "host"), *port = find(options, "port"), *database = find(options, "dbname"),
		   *user = find(options, "user"), *password = find(options, "password");
	host = host ? host : find(options, "hostaddr");
	if (asprintf(&ret->shown, "database %s at %s:%s%s%s", database ? database : "of the user's name",
		     host ? host : "the local socket", port ? port : "5432", user ? " as user " : "",
		     user ? user : "") < 0) {
		ret->shown = NULL;
		return -ENOMEM;
	}
	if (password) {
		ret->password = strdup(password);
		if (!ret->password)
			return -ENOMEM;
	}
	return 0;
}

int postgres_url_parse(const char *text, struct postgres_url *ret, char **ret_error)
{
	struct postgres_url url = {.conninfo = strdup(text)};
	char *complaint = NULL;
	*ret_error = NULL;
	if (!url.conninfo)
		return -ENOMEM;
	if (strlen(text) > URL_MAX) {
		postgres_url_free(&url);
		return refuse("--store: the URL is longer than 4096 bytes", ret_error);
	}
	if (take_citus(url.conninfo, &url.citus) < 0) {
		postgres_url_free(&url);
		return refuse("--store: citus= wants on or off", ret_error);
	}
	PQconninfoOption *options = PQconninfoParse(url.conninfo, &complaint);
	PQfreemem(complaint);
	int r = options && is_plausible(options) ? describe(options, &url) : refuse(malformed, ret_error);
	PQconninfoFree(options);
	if (r < 0) {
		postgres_url_free(&url);
		return r;
	}
	*ret = url;
	return 0;
}

void postgres_url_free(struct postgres_url *url)
{
	if (!url)
		return;
	/* Nothing of it is to be found in freed memory. */
	if (url->conninfo)
		explicit_bzero(url->conninfo, strlen(url->conninfo));
	if (url->password)
		explicit_bzero(url->password, strlen(url->password));
	free(url->conninfo);
	free(url->password);
	free(url->shown);
	*url = (struct postgres_url){0};
}

void postgres_url_redact(const struct postgres_url *url, char *text)
{
	size_t len = url->password ? strlen(url->password) : 0;
	for (char *p = text; len > 0 && (p = strstr(p, url->password)); p += len)
		memset(p, '*', len);
	for (char *p = text; *p; p++) {
		if ((unsigned char)*p < ' ')
			*p = ' ';
	}
	for (size_t end = strlen(text); end > 0 && text[end - 1] == ' '; end--)
		text[end - 1] = '\0';
}
