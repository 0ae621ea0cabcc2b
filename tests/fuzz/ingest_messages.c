/* Everything an agent can put into the backend before the store: whatever the bytes, they are parsed or refused. */
#include "backend/ingest/acknowledgement.h"
#include "backend/ingest/envelope.h"
#include "backend/ingest/verdict.h"
#include "proto/descriptors.h"

#include <stdlib.h>
#include <string.h>

static struct schema *own_schema(void)
{
	static struct schema *schema; /* compiled once a process, or fuzzing would measure the compiler */
	struct descriptor_blob set = descriptors_snapshot();
	if (!schema && schema_compile(set.data, set.len, "sonde.v1.Snapshot", &schema) < 0)
		abort();
	return schema;
}

static void take_batch(const uint8_t *data, size_t len)
{
	static const uint8_t instance[16];
	struct row_budget budget = {.max = 1 << 20};
	struct row_set rows = {.max = 20, .budget = &budget};
	struct outcome outcomes[64];
	struct snapshot_index index;
	struct wire_reader reader = wire_reader(data, len);
	struct wire_field f;
	size_t n = 0;
	while (n < 64 && batch_next(&reader, &f) == 1) {
		outcomes[n].verdict =
			verdict_of(own_schema(), &rows, instance, f.data, f.len, &outcomes[n].sequence, &index);
		if (outcomes[n].verdict == VERDICT_ACCEPTED && (index.sequence == 0 || f.len > INGEST_MAX_SNAPSHOT))
			abort();
		n++;
	}
	row_set_clear(&rows);
	if (atomic_load(&budget.bytes) != 0)
		abort();
	BUF_CLEANUP struct buf ack = BUF_INIT(1 << 20);
	if (acknowledgement_put(&ack, outcomes, n) < 0)
		abort();
	if (batch_count(data, len) == 0 && n != 0)
		abort();
}

static void take_hello(const uint8_t *data, size_t len)
{
	struct hello hello;
	const char *problem = NULL;
	if (hello_parse(data, len, &hello, &problem) == 0) {
		if (strlen(hello.hostname) == 0 || strlen(hello.host_id_text) != UUID_TEXT_SIZE - 1)
			abort();
	} else if (!problem) {
		abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct envelope e, hello, batch;
	if (envelope_parse(data, len, &e) == 0) {
		if (e.kind == ENVELOPE_HELLO)
			take_hello(e.data, e.len);
		else if (e.kind == ENVELOPE_BATCH)
			take_batch(e.data, e.len);
		else if (e.kind == ENVELOPE_DESCRIPTOR_SET && descriptor_set_parse(e.data, e.len, &hello) == 0 &&
			 hello.len > e.len)
			abort();
	}
	if (push_parse(data, len, &hello, &batch) == 0) {
		take_hello(hello.data, hello.len);
		take_batch(batch.data, batch.len);
	}
	return 0;
}
