/* Rates of raw cumulative counters, with the rules for resets and gaps in one place. A counter that went backwards was
 * reset (reboot, module reload, a device made anew): what it did since is not known, so the rate is absent, never zero
 * and never a spike. Pure functions of their arguments; thread-safe. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Increase per second between two readings. False, and *ret untouched, when there is none to tell: after < before, or
 * no time elapsed. */
bool rate_per_second(uint64_t before, uint64_t after, uint64_t elapsed_us, double *ret)
	__attribute__((nonnull, warn_unused_result));

/* The same for a counter that may be of 32 bits beneath (an interface whose driver counts so): a decrease is a wrap
 * when `before` fits in 32 bits and the way round 2^32 is less than half of it and no faster than max_per_second. What
 * is not is a reset, and absent. A reset from just below 2^32 to just above 0 cannot be told from a wrap. */
bool rate_per_second_wrapping(uint64_t before, uint64_t after, uint64_t elapsed_us, double max_per_second, double *ret)
	__attribute__((nonnull, warn_unused_result));

/* Carries a counter that the kernel prints in 32 bits on beyond them: `extended` is what was made of it so far, raw
 * what it reads now. Growth by more than 2^31 since the last reading is held for a reset: it begins anew at raw. */
uint64_t rate_extend_u32(uint64_t extended, uint32_t raw);

/* after - before; 0 when it went backwards. For counters of which single ones may step back without a reset (iowait and
 * idle of /proc/stat): the others of the group still tell the truth. */
uint64_t rate_delta(uint64_t before, uint64_t after);

/* Share of counter `index` in the growth of a group of n counters, 0..1: CPU time by state. Each delta is clamped as by
 * rate_delta(). False, and *ret untouched, when no counter of the group grew or their sum does not fit. */
bool rate_share(const uint64_t *before, const uint64_t *after, size_t n, size_t index, double *ret)
	__attribute__((nonnull, warn_unused_result));

/* Growth of one counter for each unit by which another grew: time an operation took. False, and *ret untouched, when
 * one of them went backwards or the second did not grow. */
bool rate_per(uint64_t before, uint64_t after, uint64_t per_before, uint64_t per_after, double *ret)
	__attribute__((nonnull, warn_unused_result));
