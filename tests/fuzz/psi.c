#include "agent/collectors/psi.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_ratio(double value)
{
	return value >= 0 && value <= 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct psi psi;
	if (psi_parse((const char *)data, size, &psi) < 0)
		return 0;
	if (!psi.some.there && !psi.full.there)
		abort();
	const struct psi_line *lines[] = {&psi.some, &psi.full};
	for (size_t i = 0; i < 2; i++) {
		if (lines[i]->there && (!is_ratio(lines[i]->avg10_ratio) || !is_ratio(lines[i]->avg60_ratio) ||
					!is_ratio(lines[i]->avg300_ratio)))
			abort();
	}
	return 0;
}
