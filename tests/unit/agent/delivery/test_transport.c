#include "agent/delivery/transport.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define PINNED "k#sha256:0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20"

static void anything_that_speaks_for_tls_means_tls(void **state)
{
	static const struct {
		struct transport_options options;
		bool tls, pinned;
	} cases[] = {
		{{.token = "k", .plaintext_allowed = true}, false, false},
		{{.token = "k", .plaintext_allowed = true, .ca_file = "", .certificate = ""}, false, false},
		{{.token = "k"}, true, false},
		{{.token = PINNED, .plaintext_allowed = true}, true, true},
		{{.token = "k", .plaintext_allowed = true, .ca_file = "/ca"}, true, false},
		{{.token = "k", .plaintext_allowed = true, .certificate = "/c"}, true, false},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct transport t;
		assert_int_equal(transport_choose(&cases[i].options, &t), 0);
		assert_int_equal(t.tls, cases[i].tls);
		assert_int_equal(t.pinned, cases[i].pinned);
		assert_string_equal(t.bearer, "k");
	}
}

static void a_token_that_is_none_is_refused(void **state)
{
	const struct transport_options options = {.token = "k#sha256:xyz"};
	struct transport untouched = {.bearer = "before"};
	assert_int_equal(transport_choose(&options, &untouched), -EPROTO);
	assert_string_equal(untouched.bearer, "before");
}

static void contexts(void **state)
{
	const struct transport_options plain = {.token = "k", .plaintext_allowed = true}, pinned = {.token = PINNED},
				       missing = {.token = "k", .ca_file = "/no/ca.pem"};
	struct transport t;
	struct tls_context *context;
	char error[TLS_ERROR_SIZE];
	assert_int_equal(transport_choose(&plain, &t), 0);
	assert_int_equal(transport_context(&t, &plain, &context, error), 0);
	assert_null(context);
	assert_int_equal(transport_choose(&pinned, &t), 0);
	assert_int_equal(t.fingerprint[0], 1);
	assert_int_equal(t.fingerprint[31], 0x20);
	assert_int_equal(transport_context(&t, &pinned, &context, error), 0);
	assert_non_null(context);
	tls_context_unref(context);
	assert_int_equal(transport_choose(&missing, &t), 0);
	assert_int_equal(transport_context(&t, &missing, &context, error), -EBADMSG);
	assert_non_null(strstr(error, "/no/ca.pem"));
	assert_null(context);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(anything_that_speaks_for_tls_means_tls),
		cmocka_unit_test(a_token_that_is_none_is_refused),
		cmocka_unit_test(contexts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
