/* A configuration's list of events and the texts of sysfs that explain them. */
#include "agent/perf/event_name.h"
#include "agent/perf/pmu.h"
#include "agent/perf/reason.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int see(void *arg, struct word name, const struct perf_name *parsed)
{
	const struct word *entry = arg;
	if (name.len == 0 || name.len >= PERF_NAME_SIZE || name.text < entry->text ||
	    name.text + name.len > entry->text + entry->len)
		abort();
	if (parsed->kind == PERF_NAME_PMU && (parsed->pmu.len == 0 || parsed->pmu.text[0] == '.'))
		abort();
	return 0;
}

static void check_terms(const char *text, size_t size)
{
	struct scan terms = scan_text(text, size);
	struct perf_term term;
	while (perf_term_next(&terms, &term) > 0) {
		if (term.name.len == 0 || term.name.text < text || term.name.text + term.name.len > text + size)
			abort();
	}
}

static void check_format(const char *text, size_t size)
{
	struct perf_format format;
	uint64_t config[PERF_CONFIGS] = {0};
	if (perf_format_parse(text, size, &format) < 0)
		return;
	if (format.n == 0 || format.n > PERF_MAX_RANGES || perf_format_apply(&format, 0, config) < 0)
		abort();
	(void)!perf_format_apply(&format, UINT64_MAX, config);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct scan list = scan_text(text, size);
	struct word entry, wrong;
	struct cpu_set cpus;
	double scale = 1;
	uint64_t mask;
	int paranoid;
	while (perf_list_next(&list, &entry) > 0)
		(void)!perf_entry_walk(entry, see, &entry, &wrong);
	check_terms(text, size);
	check_format(text, size);
	if (perf_scale_parse(text, size, &scale) == 0 && !(scale > 0))
		abort();
	if (cpu_set_parse(text, size, &cpus) == 0 && cpu_set_limit(&cpus) > PERF_MAX_CPUS)
		abort();
	(void)!perf_capabilities_parse(text, size, &mask);
	(void)!perf_paranoid_parse(text, size, &paranoid);
	(void)perf_seccomp_parse(text, size);
	(void)perf_in_user_namespace(text, size);
	return 0;
}
