/* Shells get whole scripts as one argument ("sh -c ..."), so that names, quotes and programs are looked for inside
 * arguments too: an argument is gone through word by word, a word by the names in it. What follows a telling name is
 * hidden as far as it may reach: to the closing quote, else to the end of the word, and to the end of the argument
 * where the name begins the argument or is a header's. */
#include "agent/processes/command_line.h"

#include "agent/processes/secret_names.h"

#include <string.h>
#include <strings.h>

#define HIDDEN "***"
#define MARK "…"
#define RAW_MAX 2048
#define USERINFO_MIN 16 /* "https://TOKEN@host": a shorter one is a user's name */

struct scrub {
	char *out;
	size_t len, room;
	bool muted; /* looked at only for what it tells about the next */
	bool hide;  /* the coming word or argument is a secret */
	const struct secret_program *program;
};

/* An argument that is gone through. */
struct argument {
	const char *begin, *end;
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_quote(char c)
{
	return c == '"' || c == '\'' || c == '`';
}

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_name(char c)
{
	return is_alnum(c) || c == '_' || c == '-' || c == '.';
}

static void put(struct scrub *s, const char *text, size_t len)
{
	if (s->muted)
		return;
	size_t n = len < s->room - s->len ? len : s->room - s->len;
	memcpy(s->out + s->len, text, n);
	s->len += n;
}

static void put_hidden(struct scrub *s)
{
	put(s, HIDDEN, strlen(HIDDEN));
}

static const char *find(const char *p, const char *end, char c)
{
	const char *at = p < end ? memchr(p, c, (size_t)(end - p)) : NULL;
	return at ? at : end;
}

static const char *word_end(const char *p, const char *end)
{
	while (p < end && !is_blank(*p))
		p++;
	return p;
}

/* Hides the value that begins at p: a quoted one to the closing quote, which stays. `outer` is the quote around name
 * and value, or 0; `far` lets it reach over blanks. Returns where to go on. */
static const char *hide_value(struct scrub *s, const char *p, const char *end, char outer, bool far)
{
	const char *stop = end;
	if (p < end && is_quote(*p)) {
		put(s, p, 1);
		stop = find(p + 1, end, *p);
	} else if (outer) {
		stop = find(p, end, outer);
	} else if (!far) {
		for (stop = p; stop < end && !is_blank(*stop) && !is_quote(*stop);)
			stop++;
	}
	put_hidden(s);
	return stop;
}

/* "user:password@host" behind "://". */
static const char *scrub_authority(struct scrub *s, const char *p, const char *end)
{
	const char *at = p < end ? memrchr(p, '@', (size_t)(end - p)) : NULL;
	if (!at)
		return p;
	const char *colon = find(p, at, ':');
	if (colon < at) {
		put(s, p, (size_t)(colon + 1 - p));
		put_hidden(s);
		return at;
	}
	if (at - p < USERINFO_MIN)
		return p;
	put_hidden(s);
	return at;
}

/* A name at p, up to `stop`. Returns where to go on, or NULL when its value is nothing to hide. */
static const char *scrub_named(struct scrub *s, const struct argument *argument, const char *p, const char *stop)
{
	const char *end = argument->end, *after = stop;
	char outer = p > argument->begin && is_quote(p[-1]) ? p[-1] : '\0';
	if (after < end && outer && *after == outer) { /* "name": value */
		after++;
		outer = '\0';
	}
	const char *sign = after;
	while (sign < end && is_blank(*sign))
		sign++;
	if (sign == end || (*sign != '=' && *sign != ':') || !secret_name(p, (size_t)(stop - p)))
		return NULL;
	after = sign;
	if (end - after >= 3 && memcmp(after, "://", 3) == 0)
		return NULL;
	bool is_header = *after == ':';
	bool is_first = p == argument->begin || (p == argument->begin + 1 && is_quote(*argument->begin));
	while (after < end && (*after == '=' || *after == ':' || *after == '>'))
		after++;
	/* A header's value comes behind a blank. */
	while (is_header && after < end && is_blank(*after))
		after++;
	put(s, p, (size_t)(after - p));
	if (after == end || is_blank(*after)) {
		s->hide = true;
		return after;
	}
	return hide_value(s, after, end, outer, is_header || is_first);
}

/* The names, URLs and tokens in a word. Returns where to go on: beyond the word when a value reaches further. */
static const char *scrub_parts(struct scrub *s, const struct argument *argument, const char *p, const char *end)
{
	while (p < end) {
		bool fresh = p == argument->begin || !is_alnum(p[-1]);
		size_t token = fresh ? secret_token(p, (size_t)(end - p)) : 0;
		if (end - p > 3 && memcmp(p, "://", 3) == 0) {
			put(s, p, 3);
			p = scrub_authority(s, p + 3, end);
			continue;
		}
		const char *stop = p;
		while (fresh && stop < end && is_name(*stop))
			stop++;
		const char *next = stop > p ? scrub_named(s, argument, p, stop) : NULL;
		if (next) {
			if (next > end)
				return next;
			p = next;
		} else if (token > 0) {
			put_hidden(s);
			p += token;
		} else {
			put(s, p++, 1);
		}
	}
	return p;
}

/* A one-letter option of a program that takes a secret with it. */
static const char *scrub_letter(struct scrub *s, const struct argument *argument, const char *p, const char *end)
{
	if (!s->program || end - p < 2 || p[0] != '-' || !is_alnum(p[1]) || !strchr(s->program->letters, p[1]))
		return NULL;
	if (end - p == 2) {
		put(s, p, 2);
		s->hide = !s->program->attached_only;
		return end;
	}
	put(s, p, 2);
	return hide_value(s, p + 2, argument->end, '\0', p == argument->begin);
}

static bool is_telling_option(const char *p, const char *end)
{
	if (p == end || *p != '-')
		return false;
	while (p < end && *p == '-')
		p++;
	for (const char *c = p; c < end; c++) {
		if (!is_name(*c))
			return false;
	}
	return !(end - p > 3 && memcmp(p, "no-", 3) == 0) && secret_name(p, (size_t)(end - p));
}

static bool is_bearer(const char *p, const char *end)
{
	static const char scheme[] = "bearer";
	return (size_t)(end - p) == strlen(scheme) && strncasecmp(p, scheme, strlen(scheme)) == 0;
}

static const char *scrub_word(struct scrub *s, const struct argument *argument, const char *p)
{
	const char *end = word_end(p, argument->end);
	if (s->hide) {
		s->hide = secret_scheme(p, (size_t)(end - p)) || is_telling_option(p, end);
		return hide_value(s, p, argument->end, '\0', false);
	}
	const char *bare = is_quote(*p) ? p + 1 : p;
	const struct secret_program *program = secret_program(bare, (size_t)(end - bare));
	if (program)
		s->program = program;
	const char *next = scrub_letter(s, argument, p, end);
	if (next)
		return next;
	if (is_telling_option(p, end) || is_bearer(bare, end)) {
		put(s, p, (size_t)(end - p));
		s->hide = true;
		return end;
	}
	return scrub_parts(s, argument, p, end);
}

static void scrub_argument(struct scrub *s, const char *begin, const char *end)
{
	/* A whole argument is the value of the one before. It may still be an option itself, where the one before
	 * takes no value: then what it says about the next one counts. */
	if (s->hide) {
		put_hidden(s);
		s->hide = false;
		s->muted = true;
	}
	const struct argument argument = {.begin = begin, .end = end};
	for (const char *p = begin; p < end;) {
		if (is_blank(*p)) {
			put(s, " ", 1);
			p++;
		} else {
			p = scrub_word(s, &argument, p);
		}
	}
	s->muted = false;
}

size_t command_line_scrub(const char *raw, size_t len, char *ret, size_t size)
{
	struct scrub s = {.out = ret, .room = size > 0 ? size - 1 : 0};
	while (len > 0 && raw[len - 1] == '\0')
		len--;
	for (const char *p = raw, *end = raw + len; p < end;) {
		const char *stop = find(p, end, '\0');
		if (p > raw)
			put(&s, " ", 1);
		scrub_argument(&s, p, stop);
		p = stop < end ? stop + 1 : end;
	}
	if (size > 0)
		ret[s.len] = '\0';
	return s.len;
}

static size_t join(const char *raw, size_t len, char *ret, size_t size)
{
	size_t n = len < size - 1 ? len : size - 1;
	while (n > 0 && raw[n - 1] == '\0')
		n--;
	for (size_t i = 0; i < n; i++)
		ret[i] = raw[i] == '\0' || is_blank(raw[i]) ? ' ' : raw[i];
	ret[n] = '\0';
	return n;
}

/* A secret whose beginning alone was read does not look like one: what was cut goes. */
static size_t drop_last(const char *raw, size_t len)
{
	while (len > 0 && raw[len - 1] != '\0' && !is_blank(raw[len - 1]))
		len--;
	return len;
}

size_t command_line_text(const char *raw, size_t len, bool is_cut, enum command_line how, char ret[COMMAND_LINE_SIZE])
{
	char text[RAW_MAX * 2];
	if (how == COMMAND_LINE_OFF) {
		ret[0] = '\0';
		return 0;
	}
	if (len > RAW_MAX) {
		len = RAW_MAX;
		is_cut = true;
	}
	if (is_cut && how == COMMAND_LINE_SCRUBBED)
		len = drop_last(raw, len);
	size_t n = how == COMMAND_LINE_FULL ? join(raw, len, text, sizeof(text))
					    : command_line_scrub(raw, len, text, sizeof(text));
	if (n > COMMAND_LINE_MAX) {
		is_cut = true;
		n = COMMAND_LINE_MAX;
		while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80)
			n--;
	}
	memcpy(ret, text, n);
	if (is_cut) {
		memcpy(ret + n, MARK, strlen(MARK));
		n += strlen(MARK);
	}
	ret[n] = '\0';
	return n;
}
