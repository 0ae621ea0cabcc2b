/* Regular expressions are PCRE2's, interpreted: its limits on steps, depth and memory hold there for every pattern,
 * which makes the worst one a bounded loss. They never travel to the database. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "backend/query/selector.h"

#include "common/wire.h"

#include <errno.h>
#include <pcre2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MATCH_STEPS 20000
#define MATCH_DEPTH 1000
#define MATCH_HEAP_KIB 256
#define PATTERN_MAX 512

enum op { OP_IS, OP_IS_NOT, OP_LIKE, OP_UNLIKE };

struct matcher {
	enum op op;
	char label[SELECTOR_MAX_LABEL + 1];
	char value[SELECTOR_MAX_VALUE + 1];
	size_t len;
	pcre2_code *code;
	pcre2_match_data *data;
	pcre2_match_context *limits;
};

struct parser {
	const char *begin, *p, *end;
	char *error;
	size_t error_size;
};

__attribute__((format(printf, 2, 3))) static int fail(struct parser *parser, const char *format, ...)
{
	char what[200];
	va_list args;
	va_start(args, format);
	(void)vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	(void)snprintf(parser->error, parser->error_size, "at character %zu: %s",
		       (size_t)(parser->p - parser->begin) + 1, what);
	return -EINVAL;
}

static void skip_space(struct parser *parser)
{
	while (parser->p < parser->end && (*parser->p == ' ' || *parser->p == '\t' || *parser->p == '\n'))
		parser->p++;
}

static bool accept(struct parser *parser, char c)
{
	skip_space(parser);
	if (parser->p == parser->end || *parser->p != c)
		return false;
	parser->p++;
	return true;
}

static bool is_name(char c, bool first, bool dots)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c >= '0' && c <= '9' && !first) ||
	       (dots && (c == '.' || c == ':') && !first);
}

static int read_name(struct parser *parser, bool dots, char *ret, size_t max, const char *what)
{
	size_t n = 0;
	skip_space(parser);
	while (parser->p + n < parser->end && is_name(parser->p[n], n == 0, dots))
		n++;
	if (n == 0)
		return fail(parser, "%s is missing", what);
	if (n > max)
		return fail(parser, "%s has more than %zu characters", what, max);
	memcpy(ret, parser->p, n);
	ret[n] = '\0';
	parser->p += n;
	return 0;
}

static int read_op(struct parser *parser, enum op *ret)
{
	skip_space(parser);
	size_t left = (size_t)(parser->end - parser->p);
	bool two = left >= 2;
	if (two && memcmp(parser->p, "=~", 2) == 0)
		*ret = OP_LIKE;
	else if (two && memcmp(parser->p, "!~", 2) == 0)
		*ret = OP_UNLIKE;
	else if (two && memcmp(parser->p, "!=", 2) == 0)
		*ret = OP_IS_NOT;
	else if (left >= 1 && *parser->p == '=')
		*ret = OP_IS;
	else
		return fail(parser, "one of =, !=, =~ and !~ is missing");
	parser->p += *ret == OP_IS ? 1 : 2;
	return 0;
}

static int read_value(struct parser *parser, struct matcher *matcher)
{
	char quote = '"';
	if (!accept(parser, '"')) {
		if (!accept(parser, '\''))
			return fail(parser, "a value in quotes is missing");
		quote = '\'';
	}
	for (;; parser->p++) {
		if (parser->p == parser->end)
			return fail(parser, "the value does not end");
		char c = *parser->p;
		if (c == quote)
			break;
		if (c == '\0')
			return fail(parser, "a value does not hold a NUL");
		if (c == '\\') {
			if (++parser->p == parser->end)
				return fail(parser, "the value does not end");
			c = *parser->p == 'n' ? '\n' : *parser->p;
			/* Of a regular expression's own backslash two are written. */
			if (*parser->p != 'n' && *parser->p != '\\' && *parser->p != '"' && *parser->p != '\'')
				return fail(parser, "in values only \\\\, \\\", \\' and \\n are escapes");
		}
		if (matcher->len == SELECTOR_MAX_VALUE)
			return fail(parser, "the value has more than %d bytes", SELECTOR_MAX_VALUE);
		matcher->value[matcher->len++] = c;
	}
	parser->p++;
	matcher->value[matcher->len] = '\0';
	return 0;
}

static int compile(struct parser *parser, struct matcher *matcher)
{
	int code;
	PCRE2_SIZE where;
	if (matcher->len > PATTERN_MAX)
		return fail(parser, "a regular expression has at most %d bytes", PATTERN_MAX);
	pcre2_compile_context *context = pcre2_compile_context_create(NULL);
	if (!context)
		return -ENOMEM;
	(void)pcre2_set_parens_nest_limit(context, 50);
	(void)pcre2_set_compile_extra_options(context, PCRE2_EXTRA_MATCH_LINE); /* ^(?:...)$ */
	matcher->code = pcre2_compile((PCRE2_SPTR)matcher->value, matcher->len,
				      PCRE2_UTF | PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_NEVER_BACKSLASH_C, &code,
				      &where, context);
	pcre2_compile_context_free(context);
	if (!matcher->code) {
		char why[128] = "";
		(void)pcre2_get_error_message(code, (PCRE2_UCHAR *)why, sizeof(why));
		return fail(parser, "the regular expression is not valid: %s", why);
	}
	matcher->data = pcre2_match_data_create(1, NULL);
	matcher->limits = pcre2_match_context_create(NULL);
	if (!matcher->data || !matcher->limits)
		return -ENOMEM;
	(void)pcre2_set_match_limit(matcher->limits, MATCH_STEPS);
	(void)pcre2_set_depth_limit(matcher->limits, MATCH_DEPTH);
	(void)pcre2_set_heap_limit(matcher->limits, MATCH_HEAP_KIB);
	return 0;
}

static int read_matcher(struct parser *parser, struct selector *selector)
{
	if (selector->n_matchers == SELECTOR_MAX_MATCHERS)
		return fail(parser, "more than %d matchers", SELECTOR_MAX_MATCHERS);
	/* Counted at once: what it holds is released with the selector. */
	struct matcher *matcher = &selector->matchers[selector->n_matchers++];
	int r = read_name(parser, false, matcher->label, SELECTOR_MAX_LABEL, "a label's name");
	if (r == 0)
		r = read_op(parser, &matcher->op);
	if (r == 0)
		r = read_value(parser, matcher);
	if (r == 0 && (matcher->op == OP_LIKE || matcher->op == OP_UNLIKE))
		r = compile(parser, matcher);
	return r;
}

static int read_matchers(struct parser *parser, struct selector *selector)
{
	int r = 0;
	if (!accept(parser, '{'))
		return 0;
	selector->matchers = calloc(SELECTOR_MAX_MATCHERS, sizeof(*selector->matchers));
	if (!selector->matchers)
		return -ENOMEM;
	while (r == 0 && !accept(parser, '}')) {
		if (selector->n_matchers > 0 && !accept(parser, ','))
			return fail(parser, "\",\" or \"}\" is missing");
		if (selector->n_matchers > 0 && accept(parser, '}'))
			break;
		r = read_matcher(parser, selector);
	}
	return r;
}

int selector_parse(const char *text, size_t len, struct selector *ret, char *error, size_t error_size)
{
	struct selector selector = {.n_matchers = 0};
	struct parser parser = {.begin = text, .p = text, .error = error, .error_size = error_size};
	parser.end = len > 0 ? text + len : text;
	int r = 0;
	if (len > SELECTOR_MAX_TEXT)
		r = fail(&parser, "a selector has at most %d bytes", SELECTOR_MAX_TEXT);
	else if (!wire_utf8((const uint8_t *)text, len))
		r = fail(&parser, "a selector is UTF-8");
	if (r == 0)
		r = read_name(&parser, true, selector.metric, SELECTOR_MAX_METRIC, "the metric's path");
	if (r == 0)
		r = read_matchers(&parser, &selector);
	skip_space(&parser);
	if (r == 0 && parser.p != parser.end)
		r = fail(&parser, "nothing may stand behind the matchers");
	if (r < 0) {
		selector_free(&selector);
		return r;
	}
	*ret = selector;
	return 0;
}

void selector_free(struct selector *selector)
{
	for (size_t i = 0; i < selector->n_matchers; i++) {
		pcre2_code_free(selector->matchers[i].code);
		pcre2_match_data_free(selector->matchers[i].data);
		pcre2_match_context_free(selector->matchers[i].limits);
	}
	free(selector->matchers);
	*selector = (struct selector){.n_matchers = 0};
}

static int copy_matcher(const struct matcher *from, struct matcher *ret)
{
	*ret = *from;
	ret->code = NULL;
	ret->data = NULL;
	ret->limits = NULL;
	if (!from->code)
		return 0;
	ret->code = pcre2_code_copy(from->code);
	ret->data = pcre2_match_data_create(1, NULL);
	ret->limits = pcre2_match_context_copy(from->limits);
	return ret->code && ret->data && ret->limits ? 0 : -ENOMEM;
}

int selector_copy(const struct selector *selector, struct selector *ret)
{
	int r = 0;
	*ret = *selector;
	ret->n_matchers = 0;
	ret->matchers = calloc(selector->n_matchers + 1, sizeof(*ret->matchers));
	if (!ret->matchers)
		return -ENOMEM;
	for (size_t i = 0; r == 0 && i < selector->n_matchers; i++)
		r = copy_matcher(&selector->matchers[i], &ret->matchers[ret->n_matchers++]);
	return r;
}

static bool holds(const struct matcher *m, const char *value, size_t len, bool *ret_exhausted)
{
	bool same = len == m->len && memcmp(value, m->value, len) == 0;
	if (m->op == OP_IS || m->op == OP_IS_NOT)
		return same == (m->op == OP_IS);
	int found = pcre2_match(m->code, (PCRE2_SPTR)value, len, 0, PCRE2_NO_JIT, m->data, m->limits);
	if (found < 0 && found != PCRE2_ERROR_NOMATCH) {
		*ret_exhausted = true;
		return false;
	}
	return (found >= 0) == (m->op == OP_LIKE);
}

bool selector_matches(const struct selector *selector, selector_label_fn label, void *arg, bool *ret_exhausted)
{
	for (size_t i = 0; i < selector->n_matchers; i++) {
		size_t len = 0;
		const char *value = label(arg, selector->matchers[i].label, &len);
		if (!holds(&selector->matchers[i], value ? value : "", value ? len : 0, ret_exhausted))
			return false;
	}
	return true;
}

bool selector_label_matches(const struct selector *selector, const char *name, const char *value, size_t len,
			    bool *ret_exhausted)
{
	for (size_t i = 0; i < selector->n_matchers; i++) {
		if (strcmp(selector->matchers[i].label, name) == 0 &&
		    !holds(&selector->matchers[i], value, len, ret_exhausted))
			return false;
	}
	return true;
}
