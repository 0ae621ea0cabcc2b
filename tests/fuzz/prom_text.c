#include "agent/custom/prom_text.h"
#include "agent/custom/series.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_reader(const char *text, size_t size)
{
	struct prom_reader reader = prom_reader(text, size);
	struct prom_sample sample;
	char value[PROM_VALUE_MAX];
	int r;
	while ((r = prom_next(&reader, &sample)) > 0) {
		if (sample.name.len == 0 || sample.name.len > PROM_NAME_MAX || sample.name.text < text ||
		    sample.name.text + sample.name.len > text + size || sample.n_labels > PROM_MAX_LABELS)
			abort();
		for (size_t i = 0; i < sample.n_labels; i++) {
			if (prom_unescape(sample.labels[i].value, value) > sample.labels[i].value.len)
				abort();
		}
	}
	if (r < 0 && reader.error[0] == '\0')
		abort();
}

/* The same text twice: as one file and again as another, which must be refused when it holds any series. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char names[2][256] = {"a.prom", "b.prom"};
	const char *text = (const char *)data;
	struct series series;
	char error[SERIES_ERROR_SIZE];
	size_t taken;
	check_reader(text, size);
	struct arena *arena = arena_new((size_t)4 << 20);
	if (!arena || series_init(&series, arena, 64, 65536) < 0)
		abort();
	int r = series_add_file(&series, text, size, 0, names, &taken, error);
	size_t n = series.n;
	if (r < 0 && (n > 0 || series.bytes > 0 || series.keys.n > 0 || series.families.n > 0))
		abort();
	int again = series_add_file(&series, text, size, 1, names, &taken, error);
	if ((r == 0 && n > 0 && again == 0 && series.left_out == 0) || series.n != n)
		abort();
	arena_free(arena);
	return 0;
}
