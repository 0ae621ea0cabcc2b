#include "backend/ingest/acknowledgement.h"
#include "backend/ingest/envelope.h"
#include "backend/ingest/verdict.h"
#include "proto/descriptors.h"

#include <errno.h>
#include <setjmp.h>
#include <sonde/v1/ingest.pb-c.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BYTES(text) (const uint8_t *)(text), sizeof(text) - 1

/* --- AgentMessage ------------------------------------------------------------------------------------------------- */

static void test_envelope(void **state)
{
	struct envelope e = {.kind = ENVELOPE_BATCH};
	assert_int_equal(envelope_parse(NULL, 0, &e), 0);
	assert_int_equal(e.kind, ENVELOPE_NONE);
	assert_int_equal(envelope_parse(BYTES("\x0a\x02hi"), &e), 0);
	assert_int_equal(e.kind, ENVELOPE_HELLO);
	assert_int_equal(e.len, 2);
	assert_memory_equal(e.data, "hi", 2);
	assert_int_equal(envelope_parse(BYTES("\x12\x00"), &e), 0);
	assert_int_equal(e.kind, ENVELOPE_BATCH);
	assert_int_equal(e.len, 0);
	assert_int_equal(envelope_parse(BYTES("\x2a\x01x\x1a\x00\x30\x05"), &e), 0);
	assert_int_equal(e.kind, ENVELOPE_DESCRIPTOR_SET);
	assert_int_equal(envelope_parse(BYTES("\x2a\x01x"), &e), 0);
	assert_int_equal(e.kind, ENVELOPE_NONE);
}

static void test_envelope_hostile(void **state)
{
	struct envelope e;
	assert_int_equal(envelope_parse(BYTES("\x0a\x05hi"), &e), -EPROTO);
	assert_int_equal(envelope_parse(BYTES("\x0a"), &e), -EPROTO);
	assert_int_equal(envelope_parse(BYTES("\x08\x01"), &e), -EPROTO);
	assert_int_equal(envelope_parse(BYTES("\x0a\x00\x12\x00"), &e), -EPROTO);
	assert_int_equal(envelope_parse(BYTES("\x0a\x00\x0a\x00"), &e), -EPROTO);
	assert_int_equal(envelope_parse(BYTES("\x00\x00"), &e), -EPROTO);
	assert_int_equal(envelope_parse(BYTES("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), &e), -EPROTO);
	assert_int_equal(envelope_parse(BYTES("\x0b\x0c"), &e), -EPROTO);
}

/* --- Hello -------------------------------------------------------------------------------------------------------- */

static uint8_t sixteen[16] = "0123456789abcdef";
static uint8_t thirty_two[32] = "0123456789abcdef0123456789abcdef";

static Sonde__V1__Hello good_hello(void)
{
	Sonde__V1__Hello h = SONDE__V1__HELLO__INIT;
	h.host_id = (char *)"6F1C2A4E-9d3b-4c56-8a7e-0123456789ab";
	h.hostname = (char *)"web-1";
	h.has_instance = h.has_boot_id = h.has_descriptor_hash = true;
	h.instance = h.boot_id = (ProtobufCBinaryData){.len = 16, .data = sixteen};
	h.descriptor_hash = (ProtobufCBinaryData){.len = 32, .data = thirty_two};
	return h;
}

static int parse_hello(const Sonde__V1__Hello *h, struct hello *ret, const char **problem)
{
	static uint8_t bytes[64 << 10];
	assert_true(sonde__v1__hello__get_packed_size(h) <= sizeof(bytes));
	return hello_parse(bytes, sonde__v1__hello__pack(h, bytes), ret, problem);
}

static void check_problem(const Sonde__V1__Hello *h, const char *field)
{
	struct hello hello;
	const char *problem = NULL;
	assert_int_equal(parse_hello(h, &hello, &problem), -EPROTO);
	assert_non_null(problem);
	if (!strstr(problem, field))
		fail_msg("\"%s\" does not name %s", problem, field);
}

static void test_hello(void **state)
{
	struct hello hello;
	const char *problem;
	Sonde__V1__Hello h = good_hello();
	Sonde__V1__HostFacts facts = SONDE__V1__HOST_FACTS__INIT;
	assert_int_equal(parse_hello(&h, &hello, &problem), 0);
	assert_string_equal(hello.host_id_text, "6f1c2a4e-9d3b-4c56-8a7e-0123456789ab");
	assert_int_equal(hello.host_id[0], 0x6f);
	assert_string_equal(hello.hostname, "web-1");
	assert_memory_equal(hello.instance, sixteen, 16);
	assert_memory_equal(hello.boot_id, sixteen, 16);
	assert_memory_equal(hello.descriptor_hash, thirty_two, 32);
	assert_null(hello.facts);
	facts.kernel = (char *)"6.1";
	h.facts = &facts;
	assert_int_equal(parse_hello(&h, &hello, &problem), 0);
	assert_int_equal(hello.facts_len, 5);
	assert_false(hello.takes_hold);
	h.has_takes_hold = h.takes_hold = true;
	assert_int_equal(parse_hello(&h, &hello, &problem), 0);
	assert_true(hello.takes_hold);
	h.takes_hold = false;
	assert_int_equal(parse_hello(&h, &hello, &problem), 0);
	assert_false(hello.takes_hold);
}

/* An agent of tomorrow to a backend of today, as one of today to a backend of yesterday. */
static void test_hello_of_a_newer_agent(void **state)
{
	static uint8_t bytes[1024];
	struct hello hello;
	const char *problem;
	Sonde__V1__Hello h = good_hello();
	size_t len = sonde__v1__hello__pack(&h, bytes);
	memcpy(bytes + len, "\x40\x01\x4a\x02hi", 6);
	assert_int_equal(hello_parse(bytes, len + 6, &hello, &problem), 0);
	assert_string_equal(hello.hostname, "web-1");
}

static void test_hello_names_the_wrong_field(void **state)
{
	Sonde__V1__Hello h = good_hello();
	h.host_id = NULL;
	check_problem(&h, "Hello.host_id");
	h.host_id = (char *)"6f1c2a4e-9d3b-4c56-8a7e-0123456789a";
	check_problem(&h, "Hello.host_id");
	h.host_id = (char *)"6f1c2a4e-9d3b-4c56-8a7e-0123456789ag";
	check_problem(&h, "Hello.host_id");
	h = good_hello();
	h.has_instance = false;
	check_problem(&h, "Hello.instance");
	h = good_hello();
	h.instance.len = 15;
	check_problem(&h, "Hello.instance");
	h = good_hello();
	h.boot_id.len = 0;
	check_problem(&h, "Hello.boot_id");
	h = good_hello();
	h.descriptor_hash.len = 16;
	check_problem(&h, "Hello.descriptor_hash");

	static uint8_t bytes[1024];
	h = good_hello();
	size_t len = sonde__v1__hello__pack(&h, bytes);
	memcpy(bytes + len, "\x3a\x01x", 3);

	struct hello hello;
	const char *problem = NULL;
	assert_int_equal(hello_parse(bytes, len + 3, &hello, &problem), -EPROTO);
	assert_non_null(strstr(problem, "Hello.takes_hold"));
	assert_int_equal(hello_parse(NULL, 0, &hello, &problem), -EPROTO);
	assert_int_equal(hello_parse(BYTES("\xff\xff"), &hello, &problem), -EPROTO);
	assert_int_equal(hello_parse(BYTES("\x0a\x40"), &hello, &problem), -EPROTO);
	assert_int_equal(hello_parse(BYTES("\x08\x01"), &hello, &problem), -EPROTO);
}

static void test_hostnames(void **state)
{
	struct hello hello;
	const char *problem;
	char name[256];
	Sonde__V1__Hello h = good_hello();
	memset(name, 'a', sizeof(name));
	name[253] = '\0';
	h.hostname = name;
	assert_int_equal(parse_hello(&h, &hello, &problem), 0);
	assert_string_equal(hello.hostname, name);
	name[253] = 'a';
	name[254] = '\0';
	check_problem(&h, "Hello.hostname");
	static const char *const good[] = {"a", "db.example.org", "b\xc3\xbcro", "\xe6\x9c\xba", "a b", "\xc2\xa0"};
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		h.hostname = (char *)good[i];
		assert_int_equal(parse_hello(&h, &hello, &problem), 0);
	}
	static const char *const bad[] = {"",	      "a\n",  "\x1b[31m", "a\x7f",   "\xc2\x80",
					  "\xc2\x9f", "\xff", "\xc3",	  "\xc0\x80"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		h.hostname = (char *)bad[i];
		check_problem(&h, "Hello.hostname");
	}
}

/* --- Batch and Push ----------------------------------------------------------------------------------------------- */

static void test_batches(void **state)
{
	struct wire_field f;
	struct wire_reader reader = wire_reader("\x0a\x01"
						"a\x10\x05\x0a\x00",
						7);
	assert_int_equal(batch_next(&reader, &f), 1);
	assert_int_equal(f.len, 1);
	assert_int_equal(batch_next(&reader, &f), 1);
	assert_int_equal(f.len, 0);
	assert_int_equal(batch_next(&reader, &f), 0);
	assert_int_equal(batch_count(NULL, 0), 0);
	assert_int_equal(batch_count(BYTES("\x0a\x00\x0a\x00\x0a\x00")), 3);
	assert_int_equal(batch_count(BYTES("\x0a\x00\x08\x00")), -EPROTO);
	assert_int_equal(batch_count(BYTES("\x0a\x00\x0a\x09")), -EPROTO);
}

static void test_push(void **state)
{
	struct envelope hello, batch;
	assert_int_equal(push_parse(BYTES("\x12\x01"
					  "b\x0a\x01h\x1a\x00"),
				    &hello, &batch),
			 0);
	assert_int_equal(*hello.data, 'h');
	assert_int_equal(*batch.data, 'b');
	assert_int_equal(push_parse(BYTES("\x0a\x01h"), &hello, &batch), -EPROTO);
	assert_int_equal(push_parse(BYTES("\x12\x01h"), &hello, &batch), -EPROTO);
	assert_int_equal(push_parse(NULL, 0, &hello, &batch), -EPROTO);
	assert_int_equal(push_parse(BYTES("\x0a\x00\x12\x00\x12\x00"), &hello, &batch), -EPROTO);
	assert_int_equal(push_parse(BYTES("\x0a\x00\x12\x00\xff"), &hello, &batch), -EPROTO);
}

static void test_descriptor_sets(void **state)
{
	struct envelope e;
	assert_int_equal(descriptor_set_parse(BYTES("\x0a\x03set"), &e), 0);
	assert_int_equal(e.len, 3);
	assert_int_equal(descriptor_set_parse(NULL, 0, &e), 0);
	assert_int_equal(e.len, 0);
	assert_int_equal(descriptor_set_parse(BYTES("\x08\x03"), &e), -EPROTO);
	assert_int_equal(descriptor_set_parse(BYTES("\x0a\x03"), &e), -EPROTO);
}

/* --- verdicts ----------------------------------------------------------------------------------------------------- */

static int setup(void **state)
{
	struct descriptor_blob set = descriptors_snapshot();
	struct schema *schema = NULL;
	int r = schema_compile(set.data, set.len, "sonde.v1.Snapshot", &schema);
	*state = schema;
	return r;
}

static int teardown(void **state)
{
	schema_unref(*state);
	return 0;
}

static size_t header(struct buf *b, uint64_t sequence)
{
	assert_int_equal(wire_put_bytes(b, 2, sixteen, 16), 0);
	assert_int_equal(wire_put_uint(b, 3, sequence), 0);
	return b->len;
}

static enum verdict judge(void *schema, const struct buf *b, uint64_t *sequence)
{
	struct snapshot_index index;
	*sequence = 12345;
	return verdict_of(schema, NULL, sixteen, b->data, b->len, sequence, &index);
}

static void test_verdicts(void **state)
{
	BUF_CLEANUP struct buf b = BUF_INIT(4 << 20);
	uint64_t sequence;
	header(&b, 7);
	assert_int_equal(judge(*state, &b, &sequence), VERDICT_ACCEPTED);
	assert_int_equal(sequence, 7);
	size_t len = b.len;

	assert_int_equal(buf_append(&b,
				    "\x52\x05"
				    "ab",
				    4),
			 0); /* cut in a section */
	assert_int_equal(judge(*state, &b, &sequence), VERDICT_MALFORMED);
	assert_int_equal(sequence, 7);
	b.len = len;
	assert_int_equal(buf_append(&b, "\x52\x02\x10\x01", 4), 0); /* a ratio as a varint */
	assert_int_equal(judge(*state, &b, &sequence), VERDICT_MALFORMED);
	assert_int_equal(sequence, 7);
	b.len = len;
	assert_int_equal(wire_put_bytes(&b, 1, "short", 5), 0); /* boot_id of 5 bytes */
	assert_int_equal(judge(*state, &b, &sequence), VERDICT_MALFORMED);
	b.len = len;
	assert_int_equal(wire_put_bytes(&b, 999, "new", 3), 0); /* a newer agent's field */
	assert_int_equal(judge(*state, &b, &sequence), VERDICT_ACCEPTED);

	buf_reset(&b);
	assert_int_equal(judge(*state, &b, &sequence), VERDICT_MALFORMED);
	assert_int_equal(sequence, 0);
	assert_int_equal(wire_put_uint(&b, 3, 9), 0);
	assert_int_equal(judge(*state, &b, &sequence), VERDICT_WRONG_INSTANCE);
	assert_int_equal(sequence, 9);
	buf_reset(&b);
	header(&b, 0);
	assert_int_equal(judge(*state, &b, &sequence), VERDICT_MALFORMED);
	buf_reset(&b);
	header(&b, UINT64_MAX);
	assert_int_equal(judge(*state, &b, &sequence), VERDICT_MALFORMED);
	buf_reset(&b);
	header(&b, INT64_MAX);
	assert_int_equal(judge(*state, &b, &sequence), VERDICT_ACCEPTED);
}

static void test_size_limit(void **state)
{
	BUF_CLEANUP struct buf b = BUF_INIT(4 << 20);
	uint8_t *filling = calloc(1, INGEST_MAX_SNAPSHOT);
	uint64_t sequence;
	size_t used = header(&b, 7) + 5; /* the field's tag and length below */
	assert_int_equal(wire_put_bytes(&b, 999, filling, INGEST_MAX_SNAPSHOT - used), 0);
	assert_int_equal(b.len, INGEST_MAX_SNAPSHOT);
	assert_int_equal(judge(*state, &b, &sequence), VERDICT_ACCEPTED);
	buf_reset(&b);
	header(&b, 7);
	assert_int_equal(wire_put_bytes(&b, 999, filling, INGEST_MAX_SNAPSHOT - used + 1), 0);
	assert_int_equal(judge(*state, &b, &sequence), VERDICT_TOO_LARGE);
	assert_int_equal(sequence, 7);
	free(filling);
}

/* --- acknowledgements --------------------------------------------------------------------------------------------- */

static Sonde__V1__Acknowledgement *acknowledge(const struct outcome *outcomes, size_t n)
{
	BUF_CLEANUP struct buf out = BUF_INIT(1 << 20);
	assert_int_equal(acknowledgement_put(&out, outcomes, n), 0);
	Sonde__V1__Acknowledgement *ack = sonde__v1__acknowledgement__unpack(NULL, out.len, out.data);
	assert_non_null(ack);
	return ack;
}

static void test_acknowledgements(void **state)
{
	static const struct outcome outcomes[] = {
		{1, VERDICT_ACCEPTED},	{2, VERDICT_ACCEPTED}, {3, VERDICT_ACCEPTED},		{5, VERDICT_ACCEPTED},
		{6, VERDICT_CONFLICT},	{7, VERDICT_CONFLICT}, {8, VERDICT_MALFORMED},		{0, VERDICT_MALFORMED},
		{0, VERDICT_MALFORMED}, {9, VERDICT_ACCEPTED}, {UINT64_MAX, VERDICT_MALFORMED}, {0, VERDICT_MALFORMED},
	};
	static const uint64_t accepted[][2] = {{1, 3}, {5, 5}, {9, 9}};
	static const uint64_t rejected[][3] = {{6, 7, VERDICT_CONFLICT},
					       {8, 8, VERDICT_MALFORMED},
					       {0, 0, VERDICT_MALFORMED},
					       {UINT64_MAX, UINT64_MAX, VERDICT_MALFORMED},
					       {0, 0, VERDICT_MALFORMED}};
	Sonde__V1__Acknowledgement *ack = acknowledge(outcomes, sizeof(outcomes) / sizeof(outcomes[0]));
	assert_int_equal(ack->n_accepted, 3);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(ack->accepted[i]->first, accepted[i][0]);
		assert_int_equal(ack->accepted[i]->last, accepted[i][1]);
	}
	assert_int_equal(ack->n_rejected, 5);
	for (size_t i = 0; i < 5; i++) {
		assert_int_equal(ack->rejected[i]->range->first, rejected[i][0]);
		assert_int_equal(ack->rejected[i]->range->last, rejected[i][1]);
		assert_int_equal(ack->rejected[i]->reason, rejected[i][2]);
		assert_true(strlen(ack->rejected[i]->detail) > 0);
	}
	sonde__v1__acknowledgement__free_unpacked(ack, NULL);
	ack = acknowledge(NULL, 0);
	assert_int_equal(ack->n_accepted + ack->n_rejected, 0);
	sonde__v1__acknowledgement__free_unpacked(ack, NULL);
}

static void test_acknowledgement_that_does_not_fit(void **state)
{
	static const struct outcome outcomes[] = {{1, VERDICT_ACCEPTED}, {2, VERDICT_MALFORMED}};
	BUF_CLEANUP struct buf out = BUF_INIT(20);
	assert_int_equal(buf_append(&out, "x", 1), 0);
	assert_int_equal(acknowledgement_put(&out, outcomes, 2), -EMSGSIZE);
	assert_int_equal(out.len, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_envelope),
		cmocka_unit_test(test_envelope_hostile),
		cmocka_unit_test(test_hello),
		cmocka_unit_test(test_hello_of_a_newer_agent),
		cmocka_unit_test(test_hello_names_the_wrong_field),
		cmocka_unit_test(test_hostnames),
		cmocka_unit_test(test_batches),
		cmocka_unit_test(test_push),
		cmocka_unit_test(test_descriptor_sets),
		cmocka_unit_test(test_verdicts),
		cmocka_unit_test(test_size_limit),
		cmocka_unit_test(test_acknowledgements),
		cmocka_unit_test(test_acknowledgement_that_does_not_fit),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
