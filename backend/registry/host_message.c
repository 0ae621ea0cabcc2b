#include "backend/registry/host_message.h"

#include "common/wire.h"

#include <errno.h>
#include <string.h>

#define SUMMARY_JSON_MAX (64u << 10)

enum {
	HOST_HOST_ID = 1,
	HOST_HOSTNAME = 2,
	HOST_STATUS = 3,
	HOST_FACTS = 4,
	HOST_FIRST_SEEN = 5,
	HOST_LAST_SEEN = 6,
	HOST_INTERVAL_MS = 7,
	HOST_CLOCK_SKEW_MS = 8,
	HOST_SUMMARY = 9,
	HOST_WARNING = 10,
};
enum { SNAPSHOT_SUMMARY = 10, TIMESTAMP_SECONDS = 1, TIMESTAMP_NANOS = 2 };

enum host_status host_status_at(int64_t last_seen_us, uint32_t interval_ms, int64_t now_us)
{
	int64_t live_us = 3 * (int64_t)interval_ms * 1000;
	if (live_us < HOST_LIVE_MIN_US)
		live_us = HOST_LIVE_MIN_US;
	if (last_seen_us == 0)
		return HOST_OFFLINE;
	if (now_us - last_seen_us <= live_us)
		return HOST_LIVE;
	return now_us - last_seen_us < HOST_OFFLINE_US ? HOST_STALE : HOST_OFFLINE;
}

static int put_text(struct buf *out, uint32_t number, const char *text)
{
	return text[0] == '\0' ? 0 : wire_put_bytes(out, number, text, strlen(text));
}

static int put_timestamp(struct buf *out, uint32_t number, int64_t us)
{
	BUF_CLEANUP struct buf inner = BUF_INIT(32);
	if (us <= 0)
		return 0;
	int r = wire_put_uint(&inner, TIMESTAMP_SECONDS, (uint64_t)(us / 1000000));
	if (r == 0)
		r = wire_put_uint(&inner, TIMESTAMP_NANOS, (uint64_t)(us % 1000000) * 1000);
	return r < 0 ? r : wire_put_bytes(out, number, inner.data, inner.len);
}

/* The newest summary's payload inside the agent's bytes. */
static bool find_summary(const struct hub_frame *frame, struct wire_field *ret)
{
	for (uint32_t i = 0; frame && i < frame->index.n_sections; i++) {
		const struct snapshot_slice *slice = &frame->index.sections[i];
		if (slice->number != SNAPSHOT_SUMMARY)
			continue;
		struct wire_reader reader = wire_reader(frame->bytes + slice->offset, slice->len);
		return wire_next(&reader, ret) == 1 && ret->type == WIRE_BYTES;
	}
	return false;
}

static int put_summary(struct host *host, const struct schema *own, struct buf *out)
{
	struct wire_field summary;
	if (!find_summary(host->newest, &summary))
		return 0;
	if (!host->summary_checked) {
		BUF_CLEANUP struct buf json = BUF_INIT(SUMMARY_JSON_MAX);
		int r = schema_json(own, "sonde.v1.Summary", summary.data, summary.len, &json);
		if (r == -ENOMEM)
			return r;
		host->summary_ok = r == 0;
		host->summary_checked = true;
	}
	return host->summary_ok ? wire_put_bytes(out, HOST_SUMMARY, summary.data, summary.len) : 0;
}

const char *host_skew_words(int64_t skew_ms)
{
	if (skew_ms > HOST_SKEW_AHEAD_MS)
		return "ahead of the backend's: set it";
	if (skew_ms < -HOST_SKEW_BEHIND_MS)
		return "behind the backend's, or what it sends is held up: set it";
	return NULL;
}

/* Appends behind what is there. */
static int add_skew(const struct host *host, struct buf *text)
{
	const char *words =
		host->newest && host->newest->index.timestamp_us != 0 ? host_skew_words(host->skew_ms) : NULL;
	uint64_t seconds = (uint64_t)(host->skew_ms < 0 ? -host->skew_ms : host->skew_ms) / 1000;
	if (!words)
		return 0;
	return buf_printf(text, "%sits clock is %llu s %s", text->len > 0 ? "; " : "", (unsigned long long)seconds,
			  words);
}

static int put_warning(const struct host *host, struct buf *out)
{
	BUF_CLEANUP struct buf text = BUF_INIT(2048);
	int r = 0;
	if (host->warning[0] != '\0')
		r = buf_append(&text, host->warning, strlen(host->warning));
	else if (host->claimed[0] != '\0' && strcmp(host->claimed, host->hostname) != 0)
		r = buf_printf(&text, "another host is called \"%s\": this one is shown as \"%s\"", host->claimed,
			       host->hostname);
	if (r == 0)
		r = add_skew(host, &text);
	return r < 0 || text.len == 0 ? r : wire_put_bytes(out, HOST_WARNING, text.data, text.len);
}

int host_message(struct host *host, const struct schema *own, struct buf *out)
{
	int r = put_text(out, HOST_HOST_ID, host->id_text);
	if (r == 0)
		r = put_text(out, HOST_HOSTNAME, host->hostname);
	if (r == 0)
		r = wire_put_uint(out, HOST_STATUS, host->status);
	if (r == 0 && host->facts)
		r = wire_put_bytes(out, HOST_FACTS, host->facts, host->facts_len);
	if (r == 0)
		r = put_timestamp(out, HOST_FIRST_SEEN, host->first_seen_us);
	if (r == 0)
		r = put_timestamp(out, HOST_LAST_SEEN, host->last_seen_us);
	if (r == 0 && host->newest && host->newest->index.interval_ms > 0)
		r = wire_put_uint(out, HOST_INTERVAL_MS, host->newest->index.interval_ms);
	if (r == 0 && host->newest && host->newest->index.timestamp_us != 0)
		r = wire_put_uint(out, HOST_CLOCK_SKEW_MS, wire_to_zigzag((uint64_t)host->skew_ms)); /* sint64 */
	if (r == 0)
		r = put_summary(host, own, out);
	return r < 0 ? r : put_warning(host, out);
}
