#include "agent/sensors/hwmon_name.h"
#include "agent/sensors/sys_value.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct hwmon_name name;
	struct word word;
	int64_t value;
	(void)!sys_value_parse(text, size, &value);
	if (hwmon_name_parse(text, size, &name) && (name.kind >= SENSOR_KINDS || name.number > 9999))
		abort();
	if (sys_uevent_find(text, size, "DRIVER", &word) == 0 &&
	    (word.text < text || word.text + word.len > text + size))
		abort();
	return 0;
}
