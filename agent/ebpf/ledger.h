/* The second ledger: /proc/diskstats beside what was traced, so that events which the probe never saw do not go
 * unnoticed (kernels lose some under load, without a word).
 *
 * The two are never read at the same instant. The traced operations are read before and after diskstats, which gives a
 * range for the difference; what is reported is the value of that range next to zero. A busy device therefore shows no
 * noise, and a quiet one, whose range is a single value, shows the exact number. Pure; one thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LEDGER_NAME 32

struct ledger_entry {
	char name[LEDGER_NAME];
	uint32_t major;
	uint64_t total; /* operations diskstats counts, at the last reading */
	uint64_t reads_merged, writes_merged, discards_merged;
	/* What diskstats had counted and the probe had not when tracing of it began; a range for the same reason. */
	uint64_t base_low;
	uint64_t base_high;
	uint64_t carried; /* traced by slots that were given back: the same disk with another medium */
	uint32_t epoch;	  /* grows when the counters start again: what was carried before is void */
	bool used;
	bool seen;
};

struct ledger {
	struct ledger_entry *entries;
	size_t max;
	size_t n;	      /* entries from here on were never used */
	bool without_flushes; /* the kernel writes no column for them */
	size_t cursor;	      /* devices come in the same order every time */
};

/* 0 or -ENOMEM. */
int ledger_init(struct ledger *ledger, size_t max) __attribute__((nonnull, warn_unused_result));
void ledger_free(struct ledger *ledger);

/* Takes in the text of /proc/diskstats: devices new in it start from zero, those gone are forgotten, those whose
 * counters went backwards start again. Devices beyond the maximum are left out. 0 or -EPROTO with nothing changed. */
int ledger_update(struct ledger *ledger, const char *text, size_t len) __attribute__((nonnull, warn_unused_result));

/* NULL if diskstats does not list it. *hint is where to look first, and becomes where it was found. */
struct ledger_entry *ledger_find(const struct ledger *ledger, const char *name, size_t *hint) __attribute__((nonnull));

/* Tracing begins now: what diskstats shows is the base. For devices that the probe has seen already, give what it had
 * counted before and after diskstats was read. */
void ledger_begin(struct ledger *ledger) __attribute__((nonnull));
void ledger_begin_traced(struct ledger_entry *entry, uint64_t before, uint64_t after) __attribute__((nonnull));

/* Operations not traced since then; negative if more were traced than diskstats shows. */
int64_t ledger_untraced(const struct ledger_entry *entry, uint64_t before, uint64_t after) __attribute__((nonnull));
/* Operations in diskstats since then. */
uint64_t ledger_operations(const struct ledger_entry *entry) __attribute__((nonnull));

/* More than 0.1% of the operations are missing. */
bool ledger_is_lossy(int64_t untraced, uint64_t operations);
