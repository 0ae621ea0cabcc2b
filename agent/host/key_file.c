#include "agent/host/key_file.h"

#include "common/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* It travels in an HTTP header: one word, printable ASCII. */
static int take_key(const char *text, size_t len, char ret_key[KEY_FILE_KEY_SIZE])
{
	while (len > 0 && is_space(*text)) {
		text++;
		len--;
	}
	while (len > 0 && is_space(text[len - 1]))
		len--;
	if (len == 0 || len >= KEY_FILE_KEY_SIZE)
		return -EPROTO;
	for (size_t i = 0; i < len; i++) {
		if (text[i] <= ' ' || text[i] > '~')
			return -EPROTO;
	}
	memcpy(ret_key, text, len);
	ret_key[len] = '\0';
	return 0;
}

int key_file_read(const char *path, char ret_key[KEY_FILE_KEY_SIZE], bool *ret_exposed, char error[KEY_FILE_ERROR_SIZE])
{
	char text[KEY_FILE_KEY_SIZE + 64];
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text));
	int r = n < 0 || fstat(fd, &st) < 0 ? -errno : take_key(text, (size_t)n, ret_key);
	if (fd >= 0)
		close(fd);
	if (r == 0)
		*ret_exposed = (st.st_mode & S_IROTH) != 0;
	else if (r == -EPROTO)
		(void)snprintf(error, KEY_FILE_ERROR_SIZE,
			       "%.400s does not hold an agent key: one line, as sonde-backend key create prints it",
			       path);
	else
		(void)snprintf(error, KEY_FILE_ERROR_SIZE, "the key file %.350s cannot be read: %s", path,
			       log_strerror(r));
	return r;
}
