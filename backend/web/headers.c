/* These decide who may do what (cookies, origins), so each accepts only the forms that its standard has. */
#include "backend/web/headers.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

static const char *skip_space(const char *p)
{
	while (*p == ' ' || *p == '\t')
		p++;
	return p;
}

/* Length of text[0..len) without trailing blanks. */
static size_t trimmed(const char *text, size_t len)
{
	while (len > 0 && (text[len - 1] == ' ' || text[len - 1] == '\t'))
		len--;
	return len;
}

int headers_cookie(const char *cookies, const char *name, char *ret, size_t size)
{
	size_t name_len = strlen(name), found_len = 0;
	const char *found = NULL;
	for (const char *p = cookies; *p;) {
		p = skip_space(p);
		size_t len = strcspn(p, ";");
		if (len > name_len && strncmp(p, name, name_len) == 0 && p[name_len] == '=') {
			const char *value = p + name_len + 1;
			size_t value_len = trimmed(value, len - name_len - 1);
			/* Two of one name: a neighbouring site may have planted one. */
			if (found && (value_len != found_len || memcmp(found, value, value_len) != 0))
				return -EPROTO;
			found = value;
			found_len = value_len;
		}
		p += len + (p[len] == ';');
	}
	if (!found)
		return -ENOENT;
	if (found_len >= size)
		return -EMSGSIZE;
	memcpy(ret, found, found_len);
	ret[found_len] = '\0';
	return 0;
}

const char *headers_bearer(const char *authorization)
{
	if (strncasecmp(authorization, "Bearer", 6) != 0 || authorization[6] != ' ')
		return NULL;
	const char *token = authorization + 7;
	while (*token == ' ')
		token++;
	return *token && !strpbrk(token, " \t,") ? token : NULL;
}

/* Splits "name:port" or "[v6]:port"; port may be missing. */
static bool split_host(const char *text, size_t *ret_name_len, const char **ret_port)
{
	size_t n;
	if (*text == '[') {
		n = strcspn(text, "]");
		if (text[n] != ']')
			return false;
		n++;
	} else {
		n = strcspn(text, ":");
	}
	if (n == 0 || (text[n] != '\0' && text[n] != ':'))
		return false;
	*ret_name_len = n;
	*ret_port = text[n] == ':' ? text + n + 1 : NULL;
	if (*ret_port && (!**ret_port || strspn(*ret_port, "0123456789") != strlen(*ret_port)))
		return false;
	return true;
}

bool headers_same_origin(const char *origin, const char *host)
{
	const char *port = NULL, *origin_port, *host_port;
	size_t origin_len, host_len;
	if (strncasecmp(origin, "http://", 7) == 0) {
		origin += 7;
		port = "80";
	} else if (strncasecmp(origin, "https://", 8) == 0) {
		origin += 8;
		port = "443";
	} else {
		return false;
	}
	if (strpbrk(origin, "/@?# ,") || !split_host(origin, &origin_len, &origin_port) ||
	    !split_host(host, &host_len, &host_port))
		return false;
	return origin_len == host_len && strncasecmp(origin, host, host_len) == 0 &&
	       strcmp(origin_port ? origin_port : port, host_port ? host_port : port) == 0;
}

bool headers_etag_matches(const char *if_none_match, const char *etag)
{
	if (strncmp(etag, "W/", 2) == 0)
		etag += 2;
	size_t len = strlen(etag);
	const char *p = skip_space(if_none_match);
	if (p[0] == '*' && *skip_space(p + 1) == '\0')
		return true;
	while (*p) {
		if (strncmp(p, "W/", 2) == 0)
			p += 2;
		if (*p != '"')
			return false;
		size_t n = strcspn(p + 1, "\"") + 1;
		if (p[n] != '"')
			return false;
		n++;
		if (n == len && memcmp(p, etag, n) == 0)
			return true;
		p = skip_space(p + n);
		if (*p == ',')
			p = skip_space(p + 1);
		else if (*p)
			return false;
	}
	return false;
}

/* q=0, q=0.0, ... after the coding. */
static bool refused(const char *parameters, size_t len)
{
	for (size_t i = 0; i + 2 < len; i++) {
		if ((parameters[i] != 'q' && parameters[i] != 'Q') || parameters[i + 1] != '=')
			continue;
		if (parameters[i + 2] != '0')
			return false;
		for (i += 3; i < len && (parameters[i] == '.' || parameters[i] == '0'); i++)
			;
		return i >= len || parameters[i] < '1' || parameters[i] > '9';
	}
	return false;
}

bool headers_accepts(const char *accept_encoding, const char *coding)
{
	size_t coding_len = strlen(coding);
	bool any = false;
	for (const char *p = accept_encoding; *p;) {
		p = skip_space(p);
		size_t len = strcspn(p, ","), name_len = strcspn(p, ",; \t");
		bool no = refused(p + name_len, len - name_len);
		if (name_len == coding_len && strncasecmp(p, coding, name_len) == 0)
			return !no;
		if (name_len == 1 && *p == '*')
			any = !no;
		p += len + (p[len] == ',');
	}
	return any;
}

int headers_length(const char *text, uint64_t *ret)
{
	uint64_t value = 0;
	if (!*text)
		return -EPROTO;
	for (; *text; text++) {
		if (*text < '0' || *text > '9' || value > (uint64_t)(INT64_MAX - 9) / 10)
			return -EPROTO;
		value = value * 10 + (uint64_t)(*text - '0');
	}
	*ret = value;
	return 0;
}

bool headers_list_has(const char *list, const char *item)
{
	size_t item_len = strlen(item);
	for (const char *p = list; *p;) {
		p = skip_space(p);
		size_t len = strcspn(p, ",");
		if (trimmed(p, len) == item_len && memcmp(p, item, item_len) == 0)
			return true;
		p += len + (p[len] == ',');
	}
	return false;
}
