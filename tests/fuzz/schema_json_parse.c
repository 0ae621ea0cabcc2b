/* What JSON makes must be wire bytes that can be written as JSON again. */
#include "common/schema/schema.h"
#include "proto/descriptors.h"

#include <errno.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct schema *schema;
	struct descriptor_blob blob = descriptors_services();
	if (!schema && schema_compile(blob.data, blob.len, "sonde.v1.Snapshot", &schema) < 0)
		abort();
	BUF_CLEANUP struct buf wire = BUF_INIT(1 << 20);
	BUF_CLEANUP struct buf json = BUF_INIT(8 << 20);
	char error[256];
	if (schema_json_parse(schema, "sonde.v1.PushRequest", (const char *)data, size, &wire, error, sizeof(error)) ==
		    0 &&
	    schema_json(schema, "sonde.v1.PushRequest", wire.data, wire.len, &json) == -EPROTO)
		abort();
	return 0;
}
