/* Lines of files that are imported; the first byte says the format. What is taken comes back from its bytes. */
#include "backend/archive/import_line.h"
#include "proto/descriptors.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct schema *schema;

static void check(const struct import_sample *sample)
{
	struct buf bytes BUF_CLEANUP = BUF_INIT(8u << 20);
	struct schema_label_value labels[SCHEMA_MAX_LABELS];
	struct schema_histogram histogram;
	struct import_sample back;
	size_t series_len;
	if (import_sample_put(sample, &bytes, &series_len) < 0)
		return;
	if (import_sample_take(schema, bytes.data, bytes.len, labels, &histogram, &back) < 0 ||
	    back.metric != sample->metric || back.n_labels != sample->n_labels || back.bits != sample->bits)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct import_family family = {.name = ""};
	struct import_reading *reading = calloc(1, sizeof(*reading));
	char why[IMPORT_WHY_SIZE] = "";
	size_t at;
	if (!schema) {
		struct descriptor_blob own = descriptors_snapshot();
		if (schema_compile(own.data, own.len, "sonde.v1.Snapshot", &schema) < 0)
			abort();
	}
	char *text = malloc(len + 1);
	if (!text || !reading || len == 0)
		goto out;
	memcpy(text, data + 1, len - 1);
	bool json = data[0] == 'j';
	char *end = text + len - 1;
	for (char *line = text, *next; line <= end; line = next + 1) {
		next = memchr(line, '\n', (size_t)(end - line));
		if (!next)
			next = end;
		size_t n = (size_t)(next - line);
		int r = json ? import_line_json(schema, line, n, reading, why, &at)
			     : import_line_openmetrics(schema, &family, line, n, reading, why, &at);
		if (r < 0 && why[0] == '\0')
			abort();
		if (r == 1) {
			check(&reading->sample);
			import_reading_free(reading);
		}
	}
out:
	free(text);
	free(reading);
	return 0;
}
