#include "tests/integration/bpf/tcp_counters.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define NAMESPACES 256

/* "Tcp: RtoAlgorithm ...\nTcp: 1 200 ...": of the namespace whose file it is. */
static uint64_t counter_in(const char *text, const char *group, const char *name)
{
	char head[32];
	(void)snprintf(head, sizeof(head), "%s:", group);
	const char *names = strstr(text, head), *values = names ? strstr(names + 1, head) : NULL;
	assert_non_null(values);
	const char *end = strchr(names, '\n');
	names += strlen(head);
	values += strlen(head);
	while (names < end) {
		names += strspn(names, " ");
		values += strspn(values, " ");
		size_t n = strcspn(names, " \n");
		if (strlen(name) == n && memcmp(names, name, n) == 0)
			return strtoull(values, NULL, 10);
		names += n;
		values += strcspn(values, " \n");
	}
	fail_msg("no %s", name);
	return 0;
}

/* NULL when the process is gone. */
static const char *net_text(const char *process, const char *file)
{
	static char text[65536];
	char path[300];
	(void)snprintf(path, sizeof(path), "/proc/%s/net/%s", process, file);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		close(fd);
	text[len > 0 ? len : 0] = '\0';
	return len > 0 ? text : NULL;
}

uint64_t tcp_counter(const char *file, const char *group, const char *name)
{
	const char *text = net_text("thread-self", file);
	assert_non_null(text);
	return counter_in(text, group, name);
}

/* Whether this namespace was not seen yet; it is from now on. */
static bool is_new(ino_t seen[NAMESPACES], size_t *n, const char *process)
{
	char path[300];
	struct stat st;
	(void)snprintf(path, sizeof(path), "/proc/%s/ns/net", process);
	if (*n == NAMESPACES || stat(path, &st) < 0)
		return false;
	for (size_t i = 0; i < *n; i++) {
		if (seen[i] == st.st_ino)
			return false;
	}
	seen[(*n)++] = st.st_ino;
	return true;
}

void tcp_counters_of_others(const char *const names[], size_t n, uint64_t ret[])
{
	ino_t seen[NAMESPACES];
	size_t n_seen = 0;
	memset(ret, 0, n * sizeof(*ret));
	assert_true(is_new(seen, &n_seen, "thread-self"));
	DIR *dir = opendir("/proc");
	assert_non_null(dir);
	for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
		if (entry->d_name[0] < '0' || entry->d_name[0] > '9' || !is_new(seen, &n_seen, entry->d_name))
			continue;
		const char *text = net_text(entry->d_name, "snmp");
		for (size_t i = 0; text && i < n; i++)
			ret[i] += counter_in(text, "Tcp", names[i]);
	}
	closedir(dir);
}
