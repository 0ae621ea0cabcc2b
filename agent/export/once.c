#include "agent/export/once.h"

#include "common/buf.h"
#include "common/schema/schema.h"
#include "proto/descriptors.h"

#include <errno.h>
#include <time.h>

#define TEXT_MAX ((size_t)64 << 20)
#define SETTLE_MS 2000

static void wait_ms(uint32_t ms)
{
	struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		;
}

static int write_text(const struct buf *text, FILE *out)
{
	errno = 0;
	if (fwrite(text->data, 1, text->len, out) != text->len || fflush(out) != 0)
		return errno != 0 ? -errno : -EIO;
	return 0;
}

static int encode(const uint8_t *data, size_t len, enum options_format format, struct buf *text)
{
	struct descriptor_blob set = descriptors_snapshot();
	struct schema *schema;
	int r = schema_compile(set.data, set.len, "sonde.v1.Snapshot", &schema);
	if (r < 0)
		return r;
	if (format == OPTIONS_FORMAT_PROMETHEUS) {
		r = schema_exposition(schema, data, len, NULL, text);
	} else {
		r = schema_json(schema, "sonde.v1.Snapshot", data, len, text);
		if (r == 0)
			r = buf_append_str(text, "\n");
	}
	schema_unref(schema);
	return r;
}

int once_write(struct sampler *sampler, uint32_t interval_ms, enum options_format format, FILE *out)
{
	BUF_CLEANUP struct buf text = BUF_INIT(TEXT_MAX);
	uint64_t sequence;
	const uint8_t *data;
	size_t len;
	/* Whoever asks once wants all of it. */
	sampler_watch(sampler, ~(sampler_set)0, UINT64_MAX);
	int r = sampler_take(sampler, interval_ms, &sequence, &data, &len);
	if (r < 0)
		return r;
	wait_ms(interval_ms);
	/* What still does not answer stands in the second snapshot as it is: under way. */
	(void)sampler_settle(sampler, SETTLE_MS);
	r = sampler_take(sampler, interval_ms, &sequence, &data, &len);
	if (r == 0)
		r = encode(data, len, format, &text);
	return r < 0 ? r : write_text(&text, out);
}
