#include "agent/delivery/retry_info.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Status{code: 8, message: "slow down", details: [...]}, in base64. */
#define HEAD "CAgSCXNsb3cgZG93bh"
#define RETRY "Cih0eXBlLmdvb2dsZWFwaXMuY29tL2dvb2dsZS5ycGMuUmV0cnlJbmZv"

static int parse(const char *text, uint64_t *ret_ms)
{
	*ret_ms = 12345;
	return retry_info_parse(text, strlen(text), ret_ms);
}

static void reads_the_delay(void **state)
{
	static const struct {
		const char *text;
		uint64_t ms;
	} cases[] = {
		{HEAD "o1" RETRY "EgkKBwgFEIDlmnc", 5250},
		/* Behind an ErrorInfo; 7 ns are a millisecond, not none. */
		{HEAD "ovCih0eXBlLmdvb2dsZWFwaXMuY29tL2dvb2dsZS5ycGMuRXJyb3JJbmZvEgMKAVgaMAoodHlwZS5nb29nbGVhcGlzLmNvb"
		      "S9nb29nbGUucnBjLlJldHJ5SW5mbxIECgIQBw==",
		 1},
		/* A million years. */
		{HEAD "o1" RETRY "EgkKBwiAgICAgCA=", RETRY_INFO_MAX_MS},
		{HEAD "os" RETRY "EgA=", 0},
		/* Two of them: the first counts. */
		{HEAD "ow" RETRY "EgQKAggBGjAKKHR5cGUuZ29vZ2xlYXBpcy5jb20vZ29vZ2xlLnJwYy5SZXRyeUluZm8SBAoCCAk=", 1000},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t ms;
		assert_int_equal(parse(cases[i].text, &ms), 0);
		assert_int_equal(ms, cases[i].ms);
	}
}

static void says_what_is_wrong(void **state)
{
	static const struct {
		const char *text;
		int error;
	} cases[] = {
		{"", -ENOENT},
		{"CAgSCXNsb3cgZG93bg==", -ENOENT},		   /* no details */
		{HEAD "o5" RETRY "Eg0KCwj///////////8B", -EPROTO}, /* -1 s */
		{HEAD "o0" RETRY "EggKBhCAlOvcAw==", -EPROTO},	   /* 1,000,000,000 ns */
		{HEAD "o1" RETRY "EgkKBwgFEIDlmg==", -EPROTO},	   /* torn */
		{"not base64!", -EPROTO},
		{"/////w==", -EPROTO},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t ms;
		assert_int_equal(parse(cases[i].text, &ms), cases[i].error);
		assert_int_equal(ms, 12345);
	}
}

static void takes_no_more_than_a_header_holds(void **state)
{
	uint64_t ms;
	char *text = malloc(8193);
	assert_non_null(text);
	memset(text, 'A', 8192);
	text[8192] = 'A';
	assert_int_equal(retry_info_parse(text, 8193, &ms), -EMSGSIZE);
	assert_int_equal(retry_info_parse(text, 8192, &ms), -EPROTO);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_the_delay),
		cmocka_unit_test(says_what_is_wrong),
		cmocka_unit_test(takes_no_more_than_a_header_holds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
