#include "tests/integration/bpf/proc_text.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

char *proc_text(int pid, const char *name, char *text, size_t size)
{
	char path[64];
	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);
	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	return n > 0 ? text : NULL;
}

uint64_t stat_field(const char *text, int number)
{
	const char *p = strrchr(text, ')');
	assert_non_null(p);
	for (int i = 2; i < number; i++) {
		p = strchr(p + 1, ' ');
		assert_non_null(p);
	}
	return strtoull(p + 1, NULL, 10);
}

uint64_t named_field(const char *text, const char *name)
{
	const char *p = strstr(text, name);
	assert_non_null(p);
	return strtoull(p + strlen(name), NULL, 10);
}
