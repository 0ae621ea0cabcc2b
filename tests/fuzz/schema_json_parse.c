/* What JSON makes must be wire bytes that can be written as JSON again, and that JSON must make the same JSON. */
#include "common/schema/schema.h"
#include "proto/descriptors.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TYPE "sonde.v1.PushRequest"

static void there_and_back(const struct schema *schema, const char *text, size_t size)
{
	BUF_CLEANUP struct buf wire = BUF_INIT(1 << 20), json = BUF_INIT(8 << 20), again = BUF_INIT(1 << 20),
			       twice = BUF_INIT(8 << 20);
	char error[256];
	if (schema_json_parse(schema, TYPE, text, size, &wire, error, sizeof(error)) < 0)
		return;
	int r = schema_json(schema, TYPE, wire.data, wire.len, &json);
	if (r == -EMSGSIZE)
		return;
	if (r < 0 ||
	    schema_json_parse(schema, TYPE, (const char *)json.data, json.len, &again, error, sizeof(error)) < 0 ||
	    schema_json(schema, TYPE, again.data, again.len, &twice) < 0)
		abort();
	if (json.len != twice.len || memcmp(json.data, twice.data, json.len) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct schema *schema;
	struct descriptor_blob blob = descriptors_services();
	if (!schema && schema_compile(blob.data, blob.len, "sonde.v1.Snapshot", &schema) < 0)
		abort();
	there_and_back(schema, (const char *)data, size);
	BUF_CLEANUP struct buf list = BUF_INIT(1 << 20);
	char error[256];
	int r = schema_json_parse_list(schema, "sonde.v1.Snapshot", (const char *)data, size, 2, &list, error,
				       sizeof(error));
	if (r < 0 && list.len > 0)
		abort();
	return 0;
}
