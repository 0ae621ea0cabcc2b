#include "agent/sensors/time_keeping.h"

#include "agent/collector.h"

#include <errno.h>

#define FREQUENCY_UNIT (1e-6 / 65536) /* 2^-16 parts per million */

void time_keeping_fill(const struct timex *timex, int state, Sonde__V1__TimeKeeping *out)
{
	int64_t offset_ns = timex->status & STA_NANO ? timex->offset : (int64_t)timex->offset * 1000;
	SET(out, synchronised, (timex->status & STA_UNSYNC) == 0);
	SET(out, offset_ns, offset_ns);
	SET(out, estimated_error_us, timex->esterror < 0 ? 0 : (uint64_t)timex->esterror);
	SET(out, maximum_error_us, timex->maxerror < 0 ? 0 : (uint64_t)timex->maxerror);
	SET(out, frequency_correction_ratio, (double)timex->freq * FREQUENCY_UNIT);
	SET(out, leap_pending, state == TIME_INS ? 1 : state == TIME_DEL ? -1 : 0);
	SET(out, tai_offset_seconds, timex->tai);
}

int time_keeping_read(Sonde__V1__TimeKeeping *out)
{
	struct timex timex = {.modes = 0};
	int state = adjtimex(&timex);
	if (state < 0)
		return -errno;
	time_keeping_fill(&timex, state, out);
	return 0;
}
