#include "backend/first_start.h"

#include "backend/server_tls.h"
#include "common/whole_file.h"

#include <errno.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

int fail_start(const char *format, ...)
{
	char line[1024];
	va_list args;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	fprintf(stderr, "sonde-backend: %s\n", line);
	return -1;
}

/* Whole or not at all: an agent that waits for the file must not read half a key. */
static int write_key_file(const char *path, const char *key, const char *suffix)
{
	char line[AUTH_KEY_TEXT_SIZE + SERVER_TLS_SUFFIX_SIZE];
	int len = snprintf(line, sizeof(line), "%s%s\n", key, suffix);
	int r = whole_file_write(path, line, (size_t)len, 0600);
	sodium_memzero(line, sizeof(line));
	return r;
}

static void print_password(const char *password)
{
	printf("\n"
	       "  This is the first start. Log in as\n"
	       "    user name: admin\n"
	       "    admin password: %s\n"
	       "  It is not shown again; change it with: sonde-backend user set-password admin\n"
	       "\n",
	       password);
	fflush(stdout);
}

int first_start_open_auth(const struct options *options, struct store *store, const char *suffix, struct auth **ret)
{
	char password[32] = "", key[AUTH_KEY_TEXT_SIZE] = "";
	char *error = NULL;
	const char *given = options->admin_password[0] != '\0' ? options->admin_password : NULL;
	int r = auth_open(store, given, password, key, ret, &error);
	if (r < 0) {
		fail_start("%s", error ? error : strerror(-r));
		free(error);
		return -1;
	}
	if (password[0] != '\0')
		print_password(password);
	r = key[0] != '\0' ? write_key_file(options->agent_key_file, key, suffix) : 0;
	sodium_memzero(password, sizeof(password));
	sodium_memzero(key, sizeof(key));
	if (r < 0) {
		auth_close(*ret);
		*ret = NULL;
		return fail_start(
			"cannot write the first agent key to %s: %s; say --agent-key-file, and make another key "
			"with: sonde-backend key create --name NAME",
			options->agent_key_file, strerror(-r));
	}
	return 0;
}
