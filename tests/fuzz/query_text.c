/* Selectors and times of requests: whatever is accepted can be matched and released. The first byte chooses. */
#include "backend/query/selector.h"
#include "backend/query/time_text.h"

#include <stdlib.h>
#include <string.h>

static const char *label(void *arg, const char *name, size_t *ret_len)
{
	*ret_len = strlen(arg);
	return arg;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct selector selector;
	char error[256], value[] = "aaaaaaaaaaaaaaaaaaaaab";
	bool exhausted = false;
	int64_t us;
	if (size == 0)
		return 0;
	const char *text = (const char *)data + 1;
	if (data[0] == 't') {
		if (time_text_moment(text, size - 1, 1795258800000000, &us) == 0 && us < 0)
			abort();
		if (time_text_duration(text, size - 1, &us) == 0 && us <= 0)
			abort();
		return 0;
	}
	if (selector_parse(text, size - 1, &selector, error, sizeof(error)) < 0)
		return 0;
	if (selector.metric[0] == '\0' || selector.n_matchers > SELECTOR_MAX_MATCHERS)
		abort();
	(void)selector_matches(&selector, label, value, &exhausted);
	selector_free(&selector);
	return 0;
}
