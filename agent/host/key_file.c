#include "agent/host/key_file.h"

#include "common/encoding.h"
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
	char token[KEY_FILE_KEY_SIZE], key[KEY_FILE_KEY_SIZE];
	uint8_t fingerprint[KEY_FILE_FINGERPRINT_BYTES];
	memcpy(token, text, len);
	token[len] = '\0';
	int r = key_file_split(token, key, sizeof(key), fingerprint);
	explicit_bzero(key, sizeof(key));
	if (r < 0)
		return r;
	memcpy(ret_key, token, len + 1);
	return 0;
}

int key_file_split(const char *token, char *ret_key, size_t size, uint8_t ret_fingerprint[KEY_FILE_FINGERPRINT_BYTES])
{
	static const char prefix[] = "#sha256:";
	uint8_t fingerprint[KEY_FILE_FINGERPRINT_BYTES];
	const char *mark = strchr(token, '#');
	size_t len = mark ? (size_t)(mark - token) : strlen(token);
	if (len == 0 || len >= size)
		return -EPROTO;
	if (mark) {
		if (strncmp(mark, prefix, strlen(prefix)) != 0)
			return -EPROTO;
		mark += strlen(prefix);
		if (encoding_unhex(mark, strlen(mark), fingerprint, sizeof(fingerprint)) < 0)
			return -EPROTO;
		memcpy(ret_fingerprint, fingerprint, sizeof(fingerprint));
	}
	memcpy(ret_key, token, len);
	ret_key[len] = '\0';
	return mark ? 1 : 0;
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
