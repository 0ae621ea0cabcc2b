/* What the doctor found: a list of findings in groups, written for people or as JSON. Knows nothing of where they come
 * from. One thread. */
#pragma once

#include "common/buf.h"

#include <stdbool.h>
#include <stddef.h>

#define REPORT_MAX 512
#define REPORT_TEXT_MAX ((size_t)1 << 20)

enum verdict {
	VERDICT_OK,
	VERDICT_NOTE,	 /* worth knowing; nothing the agent could measure is missing for it, or nobody can change it */
	VERDICT_LIMITED, /* works in part */
	VERDICT_FAILED,	 /* does not work */
};

struct finding {
	const char *group; /* a literal; those of a group are added one after another */
	char name[96];	   /* valid UTF-8 without control characters, like all texts here */
	enum verdict verdict;
	char reason[48];  /* machine-readable, snake_case; "" when ok */
	char value[192];  /* what was found */
	char remedy[448]; /* what it costs and what to do; "" when there is nothing to do */
};

struct report {
	struct finding findings[REPORT_MAX];
	size_t n;
	size_t left_out; /* had no room */
};

/* One more, with an empty value and remedy, to be filled in. Never NULL: without room it is one that is not kept. */
struct finding *report_add(struct report *report, const char *group, enum verdict verdict, const char *name)
	__attribute__((nonnull, returns_nonnull));
void finding_value(struct finding *finding, const char *format, ...)
	__attribute__((format(printf, 2, 3), nonnull(1, 2)));
void finding_remedy(struct finding *finding, const char *reason, const char *format, ...)
	__attribute__((format(printf, 3, 4), nonnull(1, 2, 3)));

/* Nothing is limited or failed. */
bool report_is_well(const struct report *report) __attribute__((nonnull));

/* Appends. `title` is the first line. 0, -ENOMEM or -EMSGSIZE. */
int report_text(const struct report *report, const char *title, struct buf *out)
	__attribute__((nonnull, warn_unused_result));
/* An object: "version", "well", "left_out", "findings" with the members of struct finding. As report_text(). */
int report_json(const struct report *report, const char *version, struct buf *out)
	__attribute__((nonnull, warn_unused_result));
