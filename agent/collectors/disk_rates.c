/* Times wrap at 32 bits of milliseconds, each at its own moment: that one figure is then absent for one reading, while
 * operations that go backwards mean that the device is another one, and all of it is absent. */
#include "agent/collectors/disk_rates.h"

#include "agent/collector.h"
#include "common/rate.h"

#define US_PER_MS 1000.0
#define MS_PER_S 1000.0

static bool await_us(const uint64_t *before, const uint64_t *after, int operations, int time, double *ret)
{
	if (!rate_per(before[time], after[time], before[operations], after[operations], ret))
		return false;
	*ret *= US_PER_MS;
	return true;
}

bool disk_rates(const uint64_t before[DISKSTATS_VALUES], const uint64_t after[DISKSTATS_VALUES], uint64_t elapsed_us,
		Sonde__V1__DiskRates *out)
{
	double value;
	if (elapsed_us == 0 || after[DISKSTATS_READS] < before[DISKSTATS_READS] ||
	    after[DISKSTATS_WRITES] < before[DISKSTATS_WRITES])
		return false;
	if (rate_per_second(before[DISKSTATS_IO_MS], after[DISKSTATS_IO_MS], elapsed_us, &value)) {
		/* The kernel counts whole ticks of its clock: more than all of the time is all of it. */
		value /= MS_PER_S;
		SET(out, utilisation_ratio, value < 1 ? value : 1);
	}
	if (rate_per_second(before[DISKSTATS_WEIGHTED_IO_MS], after[DISKSTATS_WEIGHTED_IO_MS], elapsed_us, &value))
		SET(out, queue_length, value / MS_PER_S);
	if (await_us(before, after, DISKSTATS_READS, DISKSTATS_READ_MS, &value))
		SET(out, read_await_us, value);
	if (await_us(before, after, DISKSTATS_WRITES, DISKSTATS_WRITE_MS, &value))
		SET(out, write_await_us, value);
	if (await_us(before, after, DISKSTATS_FLUSHES, DISKSTATS_FLUSH_MS, &value))
		SET(out, flush_await_us, value);
	return true;
}
