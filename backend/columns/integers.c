/* The form is chosen by what it would cost: the entropy of the residuals' lengths and the bits behind the leading one,
 * over a part of the column. That is close to what the coder makes of it, and cheap. */
#include "backend/columns/integers.h"

#include "backend/columns/put_varint.h"

#include <errno.h>
#include <limits.h>
#include <math.h>

#define LOOKED_AT 1024 /* values from which a form is chosen */
#define MEDIAN_OF 31
#define STRIPED 8 /* with the form */

#define INLINE static inline __attribute__((always_inline))

INLINE uint64_t magnitude(uint64_t v)
{
	return (int64_t)v < 0 ? 0 - v : v;
}

static uint64_t divisor(uint64_t a, uint64_t b)
{
	while (b != 0) {
		uint64_t rest = a % b;
		a = b;
		b = rest;
	}
	return a;
}

/* Division by a factor of what is divided: a shift and a product. */
struct exact {
	unsigned shift;
	uint64_t inverse; /* of what the shift leaves of the factor, modulo 2^64 */
};

static struct exact exact_of(uint64_t factor)
{
	unsigned shift = (unsigned)__builtin_ctzll(factor);
	uint64_t odd = factor >> shift, inverse = odd;
	/* Three bits of a number are its inverse's; each step doubles how many are right. */
	for (int i = 0; i < 5; i++)
		inverse *= 2 - odd * inverse;
	return (struct exact){.shift = shift, .inverse = inverse};
}

/* The value before the first and the growth before it: what the three forms predict from. */
INLINE uint64_t difference(enum integers_form form, uint64_t base, const uint64_t *v, size_t i)
{
	switch (form) {
	case INTEGERS_PLAIN:
		return v[i] - base;
	case INTEGERS_DELTA:
		return v[i] - v[i - 1] - base;
	default:
		return v[i] - v[i - 1] - (i > 1 ? v[i - 1] - v[i - 2] : base);
	}
}

INLINE size_t first_of(enum integers_form form)
{
	return form == INTEGERS_PLAIN ? 0 : 1;
}

/* Whether a number is a multiple is told by the product with the inverse: of multiples it is the quotient, and what is
 * none lands above all quotients there are. */
struct multiples {
	struct exact exact;
	uint64_t most; /* quotients */
};

static struct multiples multiples_of(uint64_t factor)
{
	return (struct multiples){.exact = exact_of(factor), .most = UINT64_MAX / factor};
}

INLINE bool is_multiple(const struct multiples *m, uint64_t v)
{
	uint64_t product = v * m->exact.inverse;
	return (product >> m->exact.shift | product << (-m->exact.shift & 63)) <= m->most;
}

/* Of all residuals, so that dividing by it loses nothing. */
INLINE uint64_t find_factor(enum integers_form form, uint64_t base, const uint64_t *v, size_t n)
{
	struct multiples multiples = {0};
	uint64_t factor = 0;
	for (size_t i = first_of(form); i < n && factor != 1; i++) {
		uint64_t d = magnitude(difference(form, base, v, i));
		if (d == 0 || (factor != 0 && is_multiple(&multiples, d)))
			continue;
		factor = divisor(d, factor);
		multiples = multiples_of(factor);
	}
	return factor == 0 ? 1 : factor;
}

/* The k-th of n numbers, by their size as signed ones; they are moved about. */
static uint64_t kth(int64_t *v, ptrdiff_t n, ptrdiff_t k)
{
	for (ptrdiff_t low = 0, high = n - 1; low < high;) {
		int64_t pivot = v[k];
		ptrdiff_t i = low, j = high;
		while (i <= j) {
			while (v[i] < pivot)
				i++;
			while (v[j] > pivot)
				j--;
			if (i > j)
				break;
			int64_t swap = v[i];
			v[i++] = v[j];
			v[j--] = swap;
		}
		if (j < k)
			low = i;
		if (k < i)
			high = j;
	}
	return (uint64_t)v[k];
}

/* Of a few, evenly spread; always one that occurs, so that the factor stays one of all. */
static uint64_t middle(enum integers_form form, const uint64_t *v, size_t n)
{
	int64_t some[MEDIAN_OF];
	size_t first = first_of(form), k = n - first < MEDIAN_OF ? n - first : MEDIAN_OF;
	for (size_t i = 0; i < k; i++)
		some[i] = (int64_t)difference(form, 0, v, first + i * (n - first) / k);
	return kth(some, (ptrdiff_t)k, (ptrdiff_t)(k / 2));
}

INLINE unsigned length_of(uint64_t v)
{
	return 63 - (unsigned)__builtin_clzll(v | 1) + (v != 0);
}

#define LENGTHS 66
/* Counted in turns: one counter is not counted up by two values in a row. */
#define TURNS 2

/* How many residuals have each length, and which is the greatest; the sum of these. From `enough` on nobody asks for
 * more. */
INLINE uint64_t count_lengths(enum integers_form form, uint64_t base, uint64_t factor, const uint64_t *v, size_t n,
			      double enough, uint32_t (*lengths)[LENGTHS], unsigned *ret_longest)
{
	struct exact exact = exact_of(factor);
	size_t first = first_of(form), i = first;
	uint64_t below = 0, all = 0;
	/* The growth before the first may be that of another part of the column, and no multiple. */
	if (form == INTEGERS_DELTA2 && i < n) {
		all = magnitude(difference(form, base, v, i++)) / factor;
		below = length_of(all);
		lengths[0][below]++;
	}
	while (i < n && (double)below <= enough) {
		for (size_t end = n - i < 64 ? n : i + 64; i < end; i++) {
			uint64_t r = (magnitude(difference(form, base, v, i)) >> exact.shift) * exact.inverse;
			unsigned length = length_of(r);
			lengths[i % TURNS][length]++;
			below += length;
			all |= r;
		}
	}
	*ret_longest = length_of(all);
	return below;
}

/* INFINITY when it is above `lowest`. */
INLINE double find_cost(enum integers_form form, uint64_t base, uint64_t factor, const uint64_t *v, size_t n,
			double lowest)
{
	uint32_t lengths[TURNS][LENGTHS] = {0};
	size_t count = n - first_of(form);
	double bits = 0;
	unsigned longest;
	/* The sign stands for the leading bit. */
	uint64_t below = count_lengths(form, base, factor, v, n, lowest, lengths, &longest);
	for (size_t i = 0; i <= longest; i++) {
		uint32_t of = lengths[0][i] + lengths[1][i];
		if (bits + (double)below > lowest)
			return INFINITY;
		if (of > 0)
			bits -= of * log2((double)of / (double)count);
	}
	return bits + (double)below;
}

static bool is_linear(const uint64_t *v, size_t n, uint64_t *ret_slope)
{
	uint64_t slope = n > 1 ? v[1] - v[0] : 0;
	for (size_t i = 1; i < n; i++) {
		if (v[i] - v[i - 1] != slope)
			return false;
	}
	*ret_slope = slope;
	return true;
}

struct choice {
	struct integers_plan plan;
	unsigned rank; /* of two that cost the same the lower one is taken */
	double lowest;
};

/* A column, and the part of it that is looked at. */
struct column {
	const uint64_t *v, *from;
	size_t n, part;
};

INLINE void consider(struct choice *best, enum integers_form form, uint64_t base, unsigned rank, const struct column *c)
{
	uint64_t factor = find_factor(form, base, c->v, c->n);
	double bits = find_cost(form, base, factor, c->from, c->part, best->lowest);
	if (bits > best->lowest || (bits == best->lowest && rank > best->rank))
		return;
	best->lowest = bits;
	best->rank = rank;
	best->plan.form = form;
	best->plan.base = base;
	best->plan.factor = factor;
}

struct integers_plan integers_plan(const uint64_t *v, size_t n, double *ret_bits)
{
	struct choice best = {.plan = {.first = v[0], .factor = 1}, .lowest = INFINITY, .rank = UINT_MAX};
	*ret_bits = 0;
	if (is_linear(v, n, &best.plan.base)) {
		best.plan.form = best.plan.base == 0 ? INTEGERS_CONSTANT : INTEGERS_LINEAR;
		return best.plan;
	}
	size_t part = n < LOOKED_AT ? n : LOOKED_AT;
	const struct column c = {.v = v, .from = v + (n - part) / 2, .n = n, .part = part};
	uint64_t growth = middle(INTEGERS_DELTA, v, n), level = middle(INTEGERS_PLAIN, v, n);
	/* The likeliest comes first: others are seen to cost more before they are reckoned up. */
	consider(&best, INTEGERS_DELTA, 0, 3, &c);
	if (growth != 0)
		consider(&best, INTEGERS_DELTA, growth, 2, &c);
	consider(&best, INTEGERS_PLAIN, level, 0, &c);
	if (level != 0)
		consider(&best, INTEGERS_PLAIN, 0, 1, &c);
	consider(&best, INTEGERS_DELTA2, v[1] - v[0], 4, &c);
	*ret_bits = best.lowest * (double)n / (double)part;
	return best.plan;
}

struct integers_plan integers_growths(const uint64_t *v, size_t n, int64_t *growths, unsigned *ret_shift)
{
	struct integers_plan plan = {.first = v[0], .factor = 1};
	uint64_t any = 0, other = 0, before = v[0], first = n > 1 ? v[1] - v[0] : 0;
	for (size_t i = 1; i < n; i++) {
		uint64_t value = v[i], growth = value - before;
		growths[i - 1] = (int64_t)growth;
		any |= growth;
		other |= growth ^ first;
		before = value;
	}
	if (other == 0) {
		plan.base = first;
		plan.form = first == 0 ? INTEGERS_CONSTANT : INTEGERS_LINEAR;
		return plan;
	}
	*ret_shift = (unsigned)__builtin_ctzll(any);
	plan.form = INTEGERS_DELTA;
	plan.factor = 1ull << *ret_shift;
	return plan;
}

static void divide(int64_t *v, size_t n, uint64_t factor)
{
	struct exact exact = exact_of(factor);
	/* As a signed number the greatest factor is none. */
	for (size_t i = 0; i < n && factor > INT64_MAX; i++)
		v[i] /= (int64_t)factor;
	for (size_t i = 0; i < n && factor <= INT64_MAX; i++)
		v[i] = (int64_t)((uint64_t)(v[i] >> exact.shift) * exact.inverse);
}

void integers_split(const struct integers_plan *plan, const uint64_t *v, size_t n, int64_t *ret)
{
	uint64_t last = v[0], growth = plan->base;
	if (plan->form <= INTEGERS_LINEAR)
		return;
	/* ret may be v: what is predicted from is kept aside. */
	if (plan->form == INTEGERS_PLAIN) {
		for (size_t i = 0; i < n; i++)
			ret[i] = (int64_t)(v[i] - plan->base);
	} else if (plan->form == INTEGERS_DELTA) {
		for (size_t i = 1; i < n; i++) {
			uint64_t value = v[i];
			ret[i - 1] = (int64_t)(value - last - plan->base);
			last = value;
		}
	} else {
		for (size_t i = 1; i < n; i++) {
			uint64_t value = v[i];
			ret[i - 1] = (int64_t)(value - last - growth);
			growth = value - last;
			last = value;
		}
	}
	if (plan->factor > 1)
		divide(ret, integers_residuals(plan->form, n), plan->factor);
}

void integers_join(const struct integers_plan *plan, const int64_t *residuals, size_t n, uint64_t *ret)
{
	uint64_t growth = plan->base, value = plan->first;
	if (plan->form == INTEGERS_PLAIN) {
		for (size_t i = 0; i < n; i++)
			ret[i] = plan->base + plan->factor * (uint64_t)residuals[i];
		return;
	}
	if (plan->form == INTEGERS_DELTA && n > 0) {
		for (size_t i = 0; i + 1 < n; i++) {
			uint64_t residual = (uint64_t)residuals[i];
			ret[i] = value;
			value += plan->base + plan->factor * residual;
		}
		ret[n - 1] = value;
		return;
	}
	/* residuals[i - 1] is read before ret[i - 1] would be written over it: one value is always held back. */
	for (size_t i = 0; i + 1 < n; i++) {
		uint64_t r = plan->form <= INTEGERS_LINEAR ? 0 : plan->factor * (uint64_t)residuals[i];
		ret[i] = value;
		if (plan->form == INTEGERS_DELTA2) {
			growth += r;
			value += growth;
		} else if (plan->form != INTEGERS_CONSTANT) {
			value += plan->base + r;
		}
	}
	if (n > 0)
		ret[n - 1] = value;
}

int integers_plan_put(const struct integers_plan *plan, struct buf *out)
{
	int r = put_varint(out, (uint64_t)plan->form | (plan->striped ? STRIPED : 0));
	if (r == 0)
		r = put_varint(out, wire_to_zigzag(plan->first));
	if (r == 0 && plan->form != INTEGERS_CONSTANT)
		r = put_varint(out, wire_to_zigzag(plan->base));
	if (r == 0 && plan->form > INTEGERS_LINEAR)
		r = put_varint(out, plan->factor);
	return r;
}

static int take(struct wire_reader *reader, uint64_t *ret)
{
	return wire_varint(reader, ret) == 1 ? 0 : -EPROTO;
}

int integers_plan_take(struct wire_reader *reader, struct integers_plan *ret)
{
	struct integers_plan plan = {.factor = 1};
	uint64_t form, v;
	int r = take(reader, &form);
	if (r < 0 || form >= 2 * STRIPED || (form & ~(uint64_t)STRIPED) >= INTEGERS_FORM_END)
		return -EPROTO;
	plan.form = (enum integers_form)(form & ~(uint64_t)STRIPED);
	plan.striped = (form & STRIPED) != 0;
	r = take(reader, &v);
	if (r == 0)
		plan.first = (uint64_t)wire_zigzag(v);
	if (r == 0 && plan.form != INTEGERS_CONSTANT) {
		r = take(reader, &v);
		if (r == 0)
			plan.base = (uint64_t)wire_zigzag(v);
	}
	if (r == 0 && plan.form > INTEGERS_LINEAR)
		r = take(reader, &plan.factor);
	if (r < 0 || plan.factor == 0)
		return -EPROTO;
	*ret = plan;
	return 0;
}
