/* A descriptor set from a stranger; what compiles is used at once on the rest of the input. */
#include "common/schema/schema.h"

#include <string.h>

static int ignore(void *arg, const struct schema_sample *sample)
{
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct schema *schema = NULL;
	if (schema_compile(data, size, "M", &schema) == 0) {
		BUF_CLEANUP struct buf out = BUF_INIT(1 << 16);
		int walked = schema_walk(schema, data, size, ignore, NULL);
		int written = schema_json(schema, "M", data, size, &out);
		(void)walked;
		(void)written;
		schema_unref(schema);
	}
	return 0;
}
