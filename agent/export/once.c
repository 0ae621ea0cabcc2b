#include "agent/export/once.h"

#include "agent/second_snapshot.h"
#include "common/buf.h"
#include "common/schema/schema.h"
#include "proto/descriptors.h"

#include <errno.h>

#define TEXT_MAX ((size_t)64 << 20)
#define SETTLE_MS 2000

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
	const struct second_snapshot_times times = {
		.interval_ms = interval_ms, .wait_ms = interval_ms, .settle_ms = SETTLE_MS};
	const uint8_t *data;
	size_t len;
	int r = second_snapshot_take(sampler, &times, &data, &len);
	if (r == 0)
		r = encode(data, len, format, &text);
	return r < 0 ? r : write_text(&text, out);
}
