/* printf() and strtod() reckon with numbers as long as need be, and each takes a microsecond: most of what an answer of
 * many points costs. But a double is m * 2^e with m below 2^53, and with 5^p below 2^63 what is to be rounded to an
 * integer,
 *
 *     d * 10^p = N / 2^s,  N = m * 5^p, s = -(e + p)
 *
 * is a whole number of 116 bits and a shift: exact, as is what remains, which says how it is rounded and whether it
 * reads back. That is so for all between 1e-10 and 1e15; the others take the long way. */
#include "common/double_text.h"

#include "common/wire.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MANTISSA_BITS 52
#define MAX_POWER 27 /* 5^27 < 2^63 */
#define LEAST 1e-10
#define MOST 1e15

typedef unsigned __int128 wide;

static const uint64_t fives[MAX_POWER + 1] = {
	1ull,
	5ull,
	25ull,
	125ull,
	625ull,
	3125ull,
	15625ull,
	78125ull,
	390625ull,
	1953125ull,
	9765625ull,
	48828125ull,
	244140625ull,
	1220703125ull,
	6103515625ull,
	30517578125ull,
	152587890625ull,
	762939453125ull,
	3814697265625ull,
	19073486328125ull,
	95367431640625ull,
	476837158203125ull,
	2384185791015625ull,
	11920928955078125ull,
	59604644775390625ull,
	298023223876953125ull,
	1490116119384765625ull,
	7450580596923828125ull,
};

struct binary {
	uint64_t m;
	int e;
};

/* What of d * 10^p is whole, and what remains in units of 2^-s. Here d * 10^p is below 10^17 and e below 0: s is above
 * 0. */
static uint64_t part(const struct binary *b, int p, int *ret_s, wide *ret_rest)
{
	wide n = (wide)b->m * fives[p];
	int s = -(b->e + p);
	*ret_s = s;
	*ret_rest = n & (((wide)1 << s) - 1);
	return (uint64_t)(n >> s);
}

/* d * 10^p rounded to an integer, halves to the even one, and whether that, times 10^-p, reads back as d. */
static uint64_t round_to(const struct binary *b, int p, bool *ret_same)
{
	int s;
	wide rest;
	uint64_t whole = part(b, p, &s, &rest);
	wide half = (wide)1 << (s - 1);
	bool up = rest > half || (rest == half && whole % 2 == 1);
	wide away = up ? ((wide)1 << s) - rest : rest;
	/* Half the way to the next double is 5^p / 2 in these units, and below a power of two half of that. An odd
	 * number: nothing lies on the middle. */
	bool near_below = b->m == 1ull << MANTISSA_BITS && !up;
	*ret_same = (near_below ? 4 : 2) * away < fives[p];
	return whole + up;
}

static uint64_t ten_to(int n)
{
	return fives[n] << n;
}

static int put_digits(uint64_t digits, int n, char *to)
{
	for (int i = n; i > 0; i--) {
		to[i - 1] = (char)('0' + digits % 10);
		digits /= 10;
	}
	while (n > 1 && to[n - 1] == '0')
		n--;
	return n;
}

/* As %g: `n` digits, of which the first counts 10^x. */
static size_t put(uint64_t digits, int n, int x, bool negative, char *ret)
{
	char text[20], *to = ret;
	int kept = put_digits(digits, n, text);
	if (negative)
		*to++ = '-';
	if (x < -4 || x >= n) {
		*to++ = text[0];
		if (kept > 1)
			*to++ = '.';
		memcpy(to, text + 1, (size_t)kept - 1);
		to += kept - 1;
		*to++ = 'e';
		*to++ = x < 0 ? '-' : '+';
		x = abs(x);
		*to++ = (char)('0' + x / 10);
		*to++ = (char)('0' + x % 10);
	} else if (x < 0) {
		memcpy(to, "0.000", (size_t)(1 - x));
		to += 1 - x;
		memcpy(to, text, (size_t)kept);
		to += kept;
	} else {
		int whole = x + 1, n_whole = kept < whole ? kept : whole;
		memcpy(to, text, (size_t)n_whole);
		memset(to + n_whole, '0', (size_t)(whole - n_whole));
		to += whole;
		if (kept > whole) {
			*to++ = '.';
			memcpy(to, text + whole, (size_t)(kept - whole));
			to += kept - whole;
		}
	}
	*to = '\0';
	return (size_t)(to - ret);
}

/* Where the first digit stands: 10^x <= d < 10^(x + 1). */
static int find_x(const struct binary *b)
{
	/* 1233 / 4096 is a little less than the logarithm of 2: this is x, or one or two below. */
	int binary = b->e + MANTISSA_BITS, x = binary * 1233 / 4096 - 2 * (binary < 0), s;
	wide rest;
	while (part(b, 14 - x, &s, &rest) >= ten_to(15))
		x++;
	return x;
}

static size_t the_long_way(double d, char ret[DOUBLE_TEXT_SIZE])
{
	int len = 0;
	for (int n = 15; n <= 17; n++) {
		len = snprintf(ret, DOUBLE_TEXT_SIZE, "%.*g", n, d);
		if (strtod(ret, NULL) == d)
			break;
	}
	return (size_t)len;
}

size_t double_text(double d, char ret[DOUBLE_TEXT_SIZE])
{
	uint64_t bits = wire_double_bits(d);
	double magnitude = d < 0 ? -d : d;
	if (magnitude == 0) {
		strcpy(ret, bits ? "-0" : "0");
		return strlen(ret);
	}
	if (!(magnitude >= LEAST && magnitude < MOST))
		return the_long_way(d, ret);
	const struct binary b = {.m = (bits & ((1ull << MANTISSA_BITS) - 1)) | 1ull << MANTISSA_BITS,
				 .e = (int)(bits >> MANTISSA_BITS & 0x7ff) - 1023 - MANTISSA_BITS};
	int x = find_x(&b), n = 15;
	bool same;
	uint64_t digits = round_to(&b, n - 1 - x, &same);
	for (; !same && n < 17; digits = round_to(&b, n - 1 - x, &same))
		n++;
	/* 9.99... may have become 10. */
	if (digits == ten_to(n))
		return put(digits / 10, n, x + 1, d < 0, ret);
	return put(digits, n, x, d < 0, ret);
}
