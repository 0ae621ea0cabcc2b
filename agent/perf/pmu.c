#include "agent/perf/pmu.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define FILE_SIZE 512

static int parse_small(struct scan *text, uint64_t *ret)
{
	const char *start = text->p;
	while (text->p < text->end && *text->p >= '0' && *text->p <= '9')
		text->p++;
	return word_u64((struct word){start, (size_t)(text->p - start)}, ret);
}

static bool take(struct scan *text, char c)
{
	bool there = text->p < text->end && *text->p == c;
	text->p += there;
	return there;
}

static int parse_config(struct scan *text, uint8_t *ret)
{
	static const char name[] = "config";
	size_t len = sizeof(name) - 1;
	uint64_t number = 0;
	if ((size_t)(text->end - text->p) < len || memcmp(text->p, name, len) != 0)
		return -EPROTO;
	text->p += len;
	if (text->p < text->end && *text->p != ':' && (parse_small(text, &number) < 0 || number == 0))
		return -EPROTO;
	if (number >= PERF_CONFIGS || !take(text, ':'))
		return -EPROTO;
	*ret = (uint8_t)number;
	return 0;
}

int perf_format_parse(const char *text, size_t len, struct perf_format *ret)
{
	struct perf_format format = {.n = 0};
	struct scan rest = scan_text(text, len > 0 && text[len - 1] == '\n' ? len - 1 : len);
	uint8_t config;
	if (parse_config(&rest, &config) < 0)
		return -EPROTO;
	do {
		uint64_t first, last;
		if (format.n == PERF_MAX_RANGES || parse_small(&rest, &first) < 0)
			return -EPROTO;
		last = first;
		if (take(&rest, '-') && parse_small(&rest, &last) < 0)
			return -EPROTO;
		if (last > 63 || first > last)
			return -EPROTO;
		format.ranges[format.n].config = config;
		format.ranges[format.n].first = (uint8_t)first;
		format.ranges[format.n++].last = (uint8_t)last;
	} while (take(&rest, ','));
	if (rest.p != rest.end)
		return -EPROTO;
	*ret = format;
	return 0;
}

int perf_format_apply(const struct perf_format *format, uint64_t value, uint64_t config[PERF_CONFIGS])
{
	for (size_t i = 0; i < format->n; i++) {
		unsigned bits = format->ranges[i].last - format->ranges[i].first + 1u;
		uint64_t mask = bits < 64 ? ((uint64_t)1 << bits) - 1 : UINT64_MAX;
		config[format->ranges[i].config] |= (value & mask) << format->ranges[i].first;
		value = bits < 64 ? value >> bits : 0;
	}
	return value == 0 ? 0 : -ERANGE;
}

static int parse_exponent(struct scan *text, int *ret)
{
	uint64_t exponent = 0;
	bool negative = false;
	if (text->p < text->end && (*text->p == 'e' || *text->p == 'E')) {
		text->p++;
		negative = take(text, '-');
		if (!negative)
			(void)take(text, '+');
		if (parse_small(text, &exponent) < 0 || exponent > 400)
			return -EPROTO;
	}
	*ret = negative ? -(int)exponent : (int)exponent;
	return text->p == text->end ? 0 : -EPROTO;
}

int perf_scale_parse(const char *text, size_t len, double *ret)
{
	struct scan rest = scan_text(text, len > 0 && text[len - 1] == '\n' ? len - 1 : len);
	double value = 0;
	int exponent, shift = 0;
	size_t digits = 0;
	for (bool point = false; rest.p < rest.end; rest.p++) {
		if (*rest.p == '.' && !point) {
			point = true;
			continue;
		}
		if (*rest.p < '0' || *rest.p > '9')
			break;
		value = value * 10 + (*rest.p - '0');
		shift += point;
		digits++;
	}
	if (digits == 0 || digits > 100 || parse_exponent(&rest, &exponent) < 0)
		return -EPROTO;
	exponent -= shift;
	double power = 1;
	for (int i = exponent < 0 ? -exponent : exponent; i > 0; i--)
		power *= 10;
	value = exponent < 0 ? value / power : value * power;
	if (!isfinite(value) || value <= 0)
		return -EPROTO;
	*ret = value;
	return 0;
}

__attribute__((format(printf, 3, 4))) static int fail(char *why, int error, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	(void)vsnprintf(why, PERF_WHY_SIZE, format, args);
	va_end(args);
	return error;
}

static int read_file(const struct root *root, const struct perf_name *name, const char *dir, struct word file,
		     char text[FILE_SIZE])
{
	char path[256];
	int n = snprintf(path, sizeof(path), PERF_PMU_DIR "/%.*s/%s%.*s", (int)name->pmu.len, name->pmu.text, dir,
			 (int)file.len, file.text);
	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENOENT;
	return root_read_text(root, path, text, FILE_SIZE);
}

/* config=, config1= and config2= are the whole words; everything else is a file of format/. */
static int apply_term(const struct root *root, const struct perf_name *name, const struct perf_term *term,
		      uint64_t config[PERF_CONFIGS])
{
	static const char *const whole[PERF_CONFIGS] = {"config", "config1", "config2"};
	uint64_t value = term->has_value ? term->value : 1;
	for (size_t i = 0; i < PERF_CONFIGS; i++) {
		if (!word_is(term->name, whole[i]))
			continue;
		config[i] |= value;
		return 0;
	}
	char text[FILE_SIZE];
	struct perf_format format;
	int len = read_file(root, name, "format/", term->name, text);
	if (len < 0)
		return len;
	int r = perf_format_parse(text, (size_t)len, &format);
	return r < 0 ? r : perf_format_apply(&format, value, config);
}

/* An event the PMU has a name for: the terms in its file, which are no such names themselves. */
static int apply_alias(const struct root *root, const struct perf_name *name, const struct perf_term *alias,
		       uint64_t config[PERF_CONFIGS])
{
	char text[FILE_SIZE];
	int len = read_file(root, name, "events/", alias->name, text);
	if (len < 0)
		return len;
	struct scan terms = scan_text(text, (size_t)len);
	struct perf_term term;
	int r;
	while ((r = perf_term_next(&terms, &term)) > 0) {
		r = apply_term(root, name, &term, config);
		if (r < 0)
			return r == -ENOENT ? -EPROTO : r;
	}
	return r;
}

static int fail_term(char *why, int error, const struct perf_name *name, const struct perf_term *term)
{
	int pmu_len = (int)name->pmu.len, len = (int)term->name.len;
	if (error == -ENOENT)
		return fail(why, error, "the PMU %.*s has neither an event nor a term \"%.*s\"", pmu_len,
			    name->pmu.text, len, term->name.text);
	if (error == -ERANGE)
		return fail(why, error, "%.*s: the value of \"%.*s\" is larger than its field", pmu_len, name->pmu.text,
			    len, term->name.text);
	return fail(why, error, "%.*s: the kernel's description of \"%.*s\" cannot be read", pmu_len, name->pmu.text,
		    len, term->name.text);
}

static int resolve_terms(const struct root *root, const struct perf_name *name, struct perf_code *code, char *why)
{
	struct scan terms = scan_text(name->terms.text, name->terms.len);
	struct perf_term term;
	int r;
	while ((r = perf_term_next(&terms, &term)) > 0) {
		r = -ENOENT;
		if (!term.has_value)
			r = apply_alias(root, name, &term, code->config);
		if (r == -ENOENT)
			r = apply_term(root, name, &term, code->config);
		if (r < 0)
			return fail_term(why, r, name, &term);
	}
	return r;
}

int perf_pmu_resolve(const struct root *root, const struct perf_name *name, struct perf_code *ret,
		     char why[PERF_WHY_SIZE])
{
	struct perf_code code = {.type = name->type, .config = {name->config}};
	if (name->kind == PERF_NAME_PMU) {
		char text[FILE_SIZE];
		uint64_t type;
		int len = read_file(root, name, "type", (struct word){"", 0}, text);
		if (len < 0)
			return fail(why, -ENOENT,
				    "this host has no PMU \"%.*s\" (/" PERF_PMU_DIR " lists those it has)",
				    (int)name->pmu.len, name->pmu.text);
		if (word_u64((struct word){text, (size_t)len}, &type) < 0 || type > UINT32_MAX)
			return fail(why, -EPROTO, "the type of the PMU %.*s cannot be read", (int)name->pmu.len,
				    name->pmu.text);
		code.type = (uint32_t)type;
		int r = resolve_terms(root, name, &code, why);
		if (r < 0)
			return r;
	}
	*ret = code;
	return 0;
}

int perf_pmu_cpus(const struct root *root, const char *pmu, const char *file, struct cpu_set *ret)
{
	char path[256], text[4096];
	int n = snprintf(path, sizeof(path), PERF_PMU_DIR "/%s/%s", pmu, file);
	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENOENT;
	int len = root_read_text(root, path, text, sizeof(text));
	return len < 0 ? len : cpu_set_parse(text, (size_t)len, ret);
}
