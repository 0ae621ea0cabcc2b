/* Against printf() and strtod(): the same text, digit by digit, of all kinds of doubles. */
#include "common/double_text.h"
#include "common/wire.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(double d)
{
	char expected[40], text[DOUBLE_TEXT_SIZE];
	for (int n = 15; n <= 17; n++) {
		snprintf(expected, sizeof(expected), "%.*g", n, d);
		if (strtod(expected, NULL) == d)
			break;
	}
	size_t len = double_text(d, text);
	if (strcmp(text, expected) != 0 || len != strlen(expected))
		fail_msg("%a: \"%s\" instead of \"%s\"", d, text, expected);
}

static void check_around(double d)
{
	check(d);
	check(-d);
	check(nextafter(d, INFINITY));
	check(nextafter(d, -INFINITY));
}

static uint64_t next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void edges(void **state)
{
	static const double some[] = {0,
				      0.1,
				      0.3,
				      1.0 / 3,
				      2.0 / 3,
				      123456.789,
				      9.5,
				      99.5,
				      999999999999999.5,
				      5e-324,
				      9.9999999999999995,
				      0.99999999999999994,
				      1e15 - 0.5,
				      100000000000000.25,
				      0.00001,
				      0.0001,
				      0.001,
				      1e-10,
				      1e-11,
				      123e-9,
				      1e15,
				      1e16,
				      1e17,
				      1e22,
				      1e23};
	for (size_t i = 0; i < sizeof(some) / sizeof(some[0]); i++)
		check_around(some[i]);
	check_around(DBL_MAX);
	check_around(DBL_MIN);
	/* Of powers of two the doubles below are nearer than those above. */
	for (int e = -1074; e < 1024; e++)
		check_around(ldexp(1, e));
	for (int e = -300; e < 300; e++) {
		char text[16];
		snprintf(text, sizeof(text), "1e%d", e);
		check_around(strtod(text, NULL));
	}
}

static void what_metrics_are_made_of(void **state)
{
	uint64_t x = 0x9e3779b97f4a7c15ull;
	for (int i = 0; i < 100000; i++) {
		uint64_t a = next(&x), b = next(&x);
		check((double)(a >> (a % 60)));			       /* counts and bytes */
		check((double)(a % 1000000) / (double)(b % 1000 + 1)); /* rates */
		check((double)(a % 100001) / 1000);		       /* ratios, temperatures */
		check((double)(a % 10000000) * 1e-6);
		check((double)(a >> 11) / 64); /* halves and quarters at the last digits */
	}
}

static void any_bits(void **state)
{
	uint64_t x = 88172645463325252ull;
	for (int i = 0; i < 200000; i++) {
		double d = wire_double(next(&x));
		if (isfinite(d))
			check(d);
		/* Those that are done by the quick way. */
		uint64_t bits = next(&x);
		check(wire_double((bits & ~(0x7ffull << 52)) | (uint64_t)(1023 - 36 + (bits >> 52) % 88) << 52));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(edges),
		cmocka_unit_test(what_metrics_are_made_of),
		cmocka_unit_test(any_bits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
