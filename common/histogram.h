/* The log-linear scheme of sonde.v1.Histogram (SCHEME_LOG_LINEAR_4), shared by the BPF programs, the agent and the
 * backend: four linear steps per power of two. Includes nothing, so that clang -target bpf can read it; needs the
 * fixed-width types to be declared before (BPF programs have __u32/__u64 as uint32_t/uint64_t by typedef). */
#pragma once

#define HISTOGRAM_STEPS 4
#define HISTOGRAM_BUCKETS 252 /* buckets 0..251 cover all of uint64_t */

/* floor(log2 v) without a loop; v > 0. BPF has no clz instruction, the verifier likes straight lines. */
static inline __attribute__((always_inline)) unsigned histogram_log2(unsigned long long v)
{
	unsigned r, shift;
	r = (v > 0xFFFFFFFFull) << 5;
	v >>= r;
	shift = (v > 0xFFFF) << 4;
	v >>= shift;
	r |= shift;
	shift = (v > 0xFF) << 3;
	v >>= shift;
	r |= shift;
	shift = (v > 0xF) << 2;
	v >>= shift;
	r |= shift;
	shift = (v > 0x3) << 1;
	v >>= shift;
	r |= shift;
	return r | (unsigned)(v >> 1);
}

static inline __attribute__((always_inline)) unsigned histogram_bucket(unsigned long long v)
{
	if (v < HISTOGRAM_STEPS)
		return (unsigned)v;
	unsigned e = histogram_log2(v);
	return HISTOGRAM_STEPS + (e - 2) * HISTOGRAM_STEPS + (unsigned)((v >> (e - 2)) & (HISTOGRAM_STEPS - 1));
}

/* Smallest value of a bucket; bucket i holds [lower(i), lower(i + 1)). lower(252) saturates at the largest value. */
static inline unsigned long long histogram_bucket_lower(unsigned bucket)
{
	if (bucket < HISTOGRAM_STEPS)
		return bucket;
	if (bucket >= HISTOGRAM_BUCKETS)
		return ~0ull;
	unsigned e = (bucket - HISTOGRAM_STEPS) / HISTOGRAM_STEPS + 2;
	unsigned step = (bucket - HISTOGRAM_STEPS) % HISTOGRAM_STEPS;
	return (1ull << e) + ((unsigned long long)step << (e - 2));
}
