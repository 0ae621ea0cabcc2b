#include "agent/perf/cpus.h"

#include <errno.h>

static int parse_cpu(const char **p, const char *end, unsigned *ret)
{
	unsigned value = 0;
	const char *s = *p;
	for (; s < end && *s >= '0' && *s <= '9'; s++) {
		value = value * 10 + (unsigned)(*s - '0');
		if (value >= PERF_MAX_CPUS)
			return -EPROTO;
	}
	if (s == *p)
		return -EPROTO;
	*p = s;
	*ret = value;
	return 0;
}

int cpu_set_parse(const char *text, size_t len, struct cpu_set *ret)
{
	struct cpu_set set = {{0}};
	const char *p = text, *end = text + len;
	if (p < end && end[-1] == '\n')
		end--;
	while (p < end) {
		unsigned first, last;
		if (parse_cpu(&p, end, &first) < 0)
			return -EPROTO;
		last = first;
		if (p < end && *p == '-') {
			p++;
			if (parse_cpu(&p, end, &last) < 0 || last < first)
				return -EPROTO;
		}
		for (unsigned cpu = first; cpu <= last; cpu++)
			set.bits[cpu / 64] |= (uint64_t)1 << (cpu % 64);
		if (p < end && (*p++ != ',' || p == end))
			return -EPROTO;
	}
	*ret = set;
	return 0;
}

unsigned cpu_set_limit(const struct cpu_set *set)
{
	for (unsigned i = PERF_MAX_CPUS / 64; i-- > 0;) {
		if (set->bits[i])
			return i * 64 + 64 - (unsigned)__builtin_clzll(set->bits[i]);
	}
	return 0;
}
