/* One host as the registry keeps it, and its sonde.v1.Host message. Pure functions of the struct. */
#pragma once

#include "backend/hub/hub.h"
#include "backend/registry/held_sections.h"
#include "backend/store/store.h"

/* As sonde.v1.Host.Status. */
enum host_status { HOST_LIVE = 1, HOST_STALE = 2, HOST_OFFLINE = 3 };

#define HOST_WARNING_MAX 300
#define HOST_LIVE_MIN_US (5 * 1000000ll)
#define HOST_OFFLINE_US (60 * 1000000ll)

struct host {
	uint8_t host_id[16];
	char id_text[UUID_TEXT_SIZE];
	int64_t tenant_id;
	int64_t key_id;
	char hostname[STORE_HOSTNAME_MAX + 1];
	char claimed[STORE_HOSTNAME_MAX + 1]; /* what the last Hello said; "" before the first */
	uint8_t *facts;
	size_t facts_len;
	int64_t first_seen_us;
	int64_t last_seen_us; /* 0: no snapshot yet */
	int64_t greeted_us;   /* a Hello of a host that has sent nothing yet: it is not offline */
	int64_t persisted_us; /* the last_seen the store has */
	int64_t skew_ms;
	enum host_status status;
	struct hub_frame *newest;  /* NULL: none yet */
	struct held_sections held; /* of what is not due in it */
	uint8_t durable_instance[16];
	uint64_t durable_sequence; /* of it, committed */
	bool loaded;		   /* the store was asked for its newest */
	bool summary_checked, summary_ok;
	char warning[HOST_WARNING_MAX];
};

/* What is said of the clock of a host whose newest snapshot is dated so far from its arrival; NULL when that needs no
 * word. One that runs behind is told from a snapshot that was held up on its way by nothing but the size. */
#define HOST_SKEW_AHEAD_MS (30 * 1000ll)
#define HOST_SKEW_BEHIND_MS (15 * 60 * 1000ll)
const char *host_skew_words(int64_t skew_ms);

/* What the age of the last snapshot makes of a host. */
enum host_status host_status_at(int64_t last_seen_us, uint32_t interval_ms, int64_t now_us);

/* Appends a serialised sonde.v1.Host. `own` decides whether the newest summary is fit to be shown: one malformed
 * summary must not make a whole list unreadable. 0, -ENOMEM, -EMSGSIZE. */
int host_message(struct host *host, const struct schema *own, struct buf *out)
	__attribute__((nonnull, warn_unused_result));
