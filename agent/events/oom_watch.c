#include "agent/events/oom_watch.h"

#include "agent/scan.h"

#include <errno.h>
#include <stdio.h>

#define OOM SONDE__V1__EVENT_KIND__EVENT_KIND_OOM_KILL

int oom_kills_parse(const char *text, size_t len, uint64_t *ret)
{
	struct scan rest = scan_text(text, len), line;
	struct word key;
	int r;
	while ((r = scan_line(&rest, &line)) > 0) {
		if (scan_word(&line, &key) < 0 || !word_is(key, "oom_kill"))
			continue;
		return scan_u64(&line, ret);
	}
	return r < 0 ? r : -ENOENT;
}

static void tell(uint64_t n, const struct clock_reading *now, struct event_log *log)
{
	struct event event = {
		.kind = OOM,
		.severity = SONDE__V1__EVENT_SEVERITY__EVENT_SEVERITY_CRITICAL,
		.boottime_us = now->boottime_us,
		.wall_us = now->wall_us,
		.occurrences = n,
	};
	(void)snprintf(event.message, sizeof(event.message),
		       "%llu process%s killed for lack of memory; the message that says which was not read",
		       (unsigned long long)n, n == 1 ? " was" : "es were");
	event_log_add(log, &event);
}

void oom_watch_take(struct oom_watch *watch, uint64_t kills, bool messages, const struct clock_reading *now,
		    struct event_log *log)
{
	uint64_t told = log->counts[OOM];
	/* The kernel counts before it writes, so more told than counted means that the first reading came in between.
	 */
	if (!watch->begun || kills - watch->first < told || kills < watch->first) {
		watch->begun = true;
		watch->first = kills - told;
		watch->unexplained = 0;
		return;
	}
	uint64_t unexplained = kills - watch->first - told;
	uint64_t sure = messages && watch->unexplained < unexplained ? watch->unexplained : unexplained;
	if (sure > 0)
		tell(sure, now, log);
	watch->unexplained = unexplained - sure;
}
