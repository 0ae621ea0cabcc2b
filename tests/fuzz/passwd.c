#include "agent/processes/passwd.h"

#include <stdlib.h>
#include <string.h>

#define USERS 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct passwd_user users[USERS];
	char *text = malloc(size + 1);
	if (!text)
		return 0;
	memcpy(text, data, size);
	size_t n = passwd_parse(text, size, users, USERS);
	for (size_t i = 0; i < n; i++) {
		if (users[i].name >= size || !memchr(text + users[i].name, '\0', size - users[i].name) ||
		    (i > 0 && users[i].id <= users[i - 1].id))
			abort();
	}
	free(text);
	return 0;
}
