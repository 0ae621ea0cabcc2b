/* What passes the walk must be readable by everything behind it: JSON and the exposition may not refuse it. */
#include "common/schema/schema.h"
#include "proto/descriptors.h"

#include <errno.h>
#include <stdlib.h>

static int ignore(void *arg, const struct schema_sample *sample)
{
	struct schema_histogram h;
	if (sample->type == SCHEMA_VALUE_HISTOGRAM &&
	    schema_histogram_parse(sample->histogram.data, sample->histogram.len, &h) < 0)
		abort();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct schema *schema;
	struct descriptor_blob blob = descriptors_services();
	if (!schema && schema_compile(blob.data, blob.len, "sonde.v1.Snapshot", &schema) < 0)
		abort();
	BUF_CLEANUP struct buf json = BUF_INIT(1 << 20);
	BUF_CLEANUP struct buf text = BUF_INIT(1 << 20);
	int walked = schema_walk(schema, data, size, ignore, NULL);
	int exposed = schema_exposition(schema, data, size, "host=\"h\"", &text);
	if (walked == 0 && exposed == -EPROTO)
		abort();
	/* JSON also refuses times outside the calendar. */
	if (schema_json(schema, "sonde.v1.Snapshot", data, size, &json) < 0 && json.len != 0)
		abort();
	return 0;
}
