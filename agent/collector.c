#include "agent/collector.h"

#include <stdarg.h>
#include <stdio.h>

int collector_fail(struct collector_state *s, Sonde__V1__State__Code code, int error, const char *reason,
		   const char *detail_format, ...)
{
	s->code = code;
	(void)snprintf(s->reason, sizeof(s->reason), "%s", reason);
	va_list args;
	va_start(args, detail_format);
	(void)vsnprintf(s->detail, sizeof(s->detail), detail_format, args);
	va_end(args);
	return error;
}
