/* perf's names for generic events are put together of parts (a cache, an operation, a result), so the parts are the
 * table. */
#include "agent/perf/event_name.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <string.h>

static const struct {
	const char *name;
	uint64_t config;
} hardware[] = {
	{"cycles", PERF_COUNT_HW_CPU_CYCLES},
	{"cpu-cycles", PERF_COUNT_HW_CPU_CYCLES},
	{"instructions", PERF_COUNT_HW_INSTRUCTIONS},
	{"cache-references", PERF_COUNT_HW_CACHE_REFERENCES},
	{"cache-misses", PERF_COUNT_HW_CACHE_MISSES},
	{"branches", PERF_COUNT_HW_BRANCH_INSTRUCTIONS},
	{"branch-instructions", PERF_COUNT_HW_BRANCH_INSTRUCTIONS},
	{"branch-misses", PERF_COUNT_HW_BRANCH_MISSES},
	{"bus-cycles", PERF_COUNT_HW_BUS_CYCLES},
	{"stalled-cycles-frontend", PERF_COUNT_HW_STALLED_CYCLES_FRONTEND},
	{"idle-cycles-frontend", PERF_COUNT_HW_STALLED_CYCLES_FRONTEND},
	{"stalled-cycles-backend", PERF_COUNT_HW_STALLED_CYCLES_BACKEND},
	{"idle-cycles-backend", PERF_COUNT_HW_STALLED_CYCLES_BACKEND},
	{"ref-cycles", PERF_COUNT_HW_REF_CPU_CYCLES},
};

struct part {
	const char *text;
	uint64_t config;
};

static const struct part caches[] = {
	{"L1-dcache-", PERF_COUNT_HW_CACHE_L1D}, {"L1-icache-", PERF_COUNT_HW_CACHE_L1I},
	{"LLC-", PERF_COUNT_HW_CACHE_LL},	 {"dTLB-", PERF_COUNT_HW_CACHE_DTLB},
	{"iTLB-", PERF_COUNT_HW_CACHE_ITLB},	 {"branch-", PERF_COUNT_HW_CACHE_BPU},
	{"node-", PERF_COUNT_HW_CACHE_NODE},
};

#define OPERATION(op, result) (PERF_COUNT_HW_CACHE_OP_##op << 8 | PERF_COUNT_HW_CACHE_RESULT_##result << 16)

static const struct part operations[] = {
	{"loads", OPERATION(READ, ACCESS)},	     {"load-misses", OPERATION(READ, MISS)},
	{"stores", OPERATION(WRITE, ACCESS)},	     {"store-misses", OPERATION(WRITE, MISS)},
	{"prefetches", OPERATION(PREFETCH, ACCESS)}, {"prefetch-misses", OPERATION(PREFETCH, MISS)},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static bool parse_cache(struct word text, uint64_t *ret)
{
	for (size_t i = 0; i < COUNT(caches); i++) {
		if (!word_starts(text, caches[i].text))
			continue;
		size_t skip = strlen(caches[i].text);
		struct word rest = {text.text + skip, text.len - skip};
		for (size_t j = 0; j < COUNT(operations); j++) {
			if (!word_is(rest, operations[j].text))
				continue;
			*ret = caches[i].config | operations[j].config;
			return true;
		}
	}
	return false;
}

static bool parse_generic(struct word text, struct perf_name *ret)
{
	for (size_t i = 0; i < COUNT(hardware); i++) {
		if (!word_is(text, hardware[i].name))
			continue;
		*ret = (struct perf_name){PERF_NAME_GENERIC, PERF_TYPE_HARDWARE, hardware[i].config, {0}, {0}};
		return true;
	}
	uint64_t config;
	if (!parse_cache(text, &config))
		return false;
	*ret = (struct perf_name){PERF_NAME_GENERIC, PERF_TYPE_HW_CACHE, config, {0}, {0}};
	return true;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int parse_hex(struct word digits, uint64_t *ret)
{
	uint64_t value = 0;
	if (digits.len == 0 || digits.len > 16)
		return -EPROTO;
	for (size_t i = 0; i < digits.len; i++) {
		int digit = hex_digit(digits.text[i]);
		if (digit < 0)
			return -EPROTO;
		value = value << 4 | (unsigned)digit;
	}
	*ret = value;
	return 0;
}

static int parse_value(struct word text, uint64_t *ret)
{
	if (text.len > 2 && text.text[0] == '0' && (text.text[1] | 0x20) == 'x')
		return parse_hex((struct word){text.text + 2, text.len - 2}, ret);
	return word_u64(text, ret);
}

/* Names of files of sysfs: nothing that leads elsewhere. */
static bool is_plain(struct word text)
{
	for (size_t i = 0; i < text.len; i++) {
		char c = text.text[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
		if (!letter && (i == 0 || (c != '-' && c != '.')))
			return false;
	}
	return text.len > 0 && text.len < 64;
}

int perf_term_next(struct scan *terms, struct perf_term *ret)
{
	if (terms->p == terms->end)
		return 0;
	const char *comma = memchr(terms->p, ',', (size_t)(terms->end - terms->p));
	struct word text = {terms->p, (size_t)((comma ? comma : terms->end) - terms->p)};
	const char *equals = memchr(text.text, '=', text.len);
	struct perf_term term = {.name = {text.text, equals ? (size_t)(equals - text.text) : text.len},
				 .has_value = equals != NULL};
	if (!is_plain(term.name) || (comma && comma + 1 == terms->end))
		return -EPROTO;
	if (equals && parse_value((struct word){equals + 1, text.len - term.name.len - 1}, &term.value) < 0)
		return -EPROTO;
	terms->p = comma ? comma + 1 : terms->end;
	*ret = term;
	return 1;
}

static int parse_pmu(struct word text, struct perf_name *ret)
{
	const char *slash = memchr(text.text, '/', text.len);
	struct perf_name name = {.kind = PERF_NAME_PMU, .pmu = {text.text, (size_t)(slash - text.text)}};
	if (!is_plain(name.pmu) || text.len < name.pmu.len + 3 || text.text[text.len - 1] != '/')
		return -EINVAL;
	name.terms = (struct word){slash + 1, text.len - name.pmu.len - 2};
	struct scan rest = scan_text(name.terms.text, name.terms.len);
	struct perf_term term;
	size_t n = 0;
	int r;
	while ((r = perf_term_next(&rest, &term)) > 0) {
		if (++n > PERF_MAX_TERMS)
			return -EINVAL;
	}
	if (r < 0)
		return -EINVAL;
	*ret = name;
	return 0;
}

int perf_name_parse(const char *text, size_t len, struct perf_name *ret)
{
	struct word word = {text, len};
	uint64_t config;
	if (len == 0 || len >= PERF_NAME_SIZE)
		return -EINVAL;
	if (memchr(text, '/', len))
		return parse_pmu(word, ret);
	if (parse_generic(word, ret))
		return 0;
	if (text[0] != 'r' || parse_hex((struct word){text + 1, len - 1}, &config) < 0)
		return -EINVAL;
	*ret = (struct perf_name){PERF_NAME_RAW, PERF_TYPE_RAW, config, {0}, {0}};
	return 0;
}

int perf_list_next(struct scan *list, struct word *ret)
{
	bool braces = false, slashes = false;
	const char *p = list->p;
	if (p == list->end)
		return 0;
	for (; p < list->end && (*p != ',' || braces || slashes); p++) {
		if (*p == '/')
			slashes = !slashes;
		if (slashes || (*p != '{' && *p != '}'))
			continue;
		if (braces == (*p == '{'))
			return -EPROTO;
		braces = !braces;
	}
	struct word item = {list->p, (size_t)(p - list->p)};
	if (braces || slashes || item.len == 0 || (p < list->end && p + 1 == list->end))
		return -EPROTO;
	list->p = p < list->end ? p + 1 : p;
	*ret = item;
	return 1;
}

int perf_entry_walk(struct word entry, int (*each)(void *arg, struct word name, const struct perf_name *parsed),
		    void *arg, struct word *ret_wrong)
{
	bool group = perf_entry_is_group(entry);
	*ret_wrong = entry;
	if (entry.len == 0 || (group && (entry.len < 3 || entry.text[entry.len - 1] != '}')))
		return -EINVAL;
	struct scan rest = group ? scan_text(entry.text + 1, entry.len - 2) : scan_text(entry.text, entry.len);
	struct word name;
	int r;
	while ((r = perf_list_next(&rest, &name)) > 0) {
		struct perf_name parsed;
		*ret_wrong = name;
		if ((!group && name.len != entry.len) || perf_name_parse(name.text, name.len, &parsed) < 0)
			return -EINVAL;
		r = each(arg, name, &parsed);
		if (r < 0)
			return r;
	}
	return r < 0 ? -EINVAL : 0;
}

bool perf_is_cgroup_path(const char *text)
{
	if (text[0] != '/')
		return false;
	for (const char *p = text; *p == '/';) {
		size_t len = strcspn(++p, "/");
		if (len == 0 || (len == 1 && p[0] == '.') || (len == 2 && p[0] == '.' && p[1] == '.'))
			return false;
		p += len;
	}
	return true;
}
