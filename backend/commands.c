#include "backend/commands.h"

#include "backend/auth/password.h"
#include "backend/first_start.h"
#include "backend/server_tls.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static struct store *open_store(const struct options *options)
{
	struct store *store = NULL;
	char *error = NULL;
	int r = store_open(options->store, &store, &error);
	if (r < 0)
		fail_start("%s", error ? error : strerror(-r));
	free(error);
	return r < 0 ? NULL : store;
}

/* A backend that has a CA of its own was started with TLS at least once: without the options that say so the key would
 * not name that CA, and agents would refuse the backend. */
static void warn_of_other_options(const struct options *options)
{
	char path[OPTIONS_PATH_SIZE + 8];
	snprintf(path, sizeof(path), "%s/ca.pem", options->tls_dir);
	if (!options->tls && access(path, F_OK) == 0)
		fprintf(stderr,
			"with these options gRPC is plaintext, so this key names no CA; for a key that does, give the "
			"options that the backend is started with (--config, --grpc-listen, --tls)\n");
}

int command_key_create(const struct options *options)
{
	char key[AUTH_KEY_TEXT_SIZE];
	struct auth *auth = NULL;
	struct server_tls *tls;
	if (server_tls_open(options, &tls) < 0)
		return 1;
	struct store *store = open_store(options);
	if (!store) {
		server_tls_close(tls);
		return 1;
	}
	int r = first_start_open_auth(options, store, server_tls_suffix(tls), &auth);
	if (r == 0) {
		r = auth_create_key(auth, options->name, key);
		if (r < 0)
			fail_start("cannot make a key: %s", strerror(-r));
	}
	if (r == 0) {
		fprintf(stderr, "agent key \"%s\", shown this once; put it into a file for sonde-agent --key-file:\n",
			options->name);
		printf("%s%s\n", key, server_tls_suffix(tls));
		r = fflush(stdout);
		warn_of_other_options(options);
	}
	sodium_memzero(key, sizeof(key));
	auth_close(auth);
	store_close(store);
	server_tls_close(tls);
	return r == 0 ? 0 : 1;
}

/* One line of standard input, not echoed to a terminal. */
static int read_password(char *out, size_t size)
{
	struct termios before, silent;
	bool terminal = tcgetattr(STDIN_FILENO, &before) == 0;
	if (terminal) {
		fputs("new password: ", stderr);
		silent = before;
		silent.c_lflag &= ~(tcflag_t)ECHO;
		if (tcsetattr(STDIN_FILENO, TCSANOW, &silent) < 0)
			return -errno;
	}
	char *line = fgets(out, (int)size, stdin);
	if (terminal) {
		(void)tcsetattr(STDIN_FILENO, TCSANOW, &before);
		fputc('\n', stderr);
	}
	if (!line)
		return -EINVAL;
	out[strcspn(out, "\n")] = '\0';
	return 0;
}

static int set_password(struct store *store, const char *name)
{
	struct store_user user;
	char password[PASSWORD_MAX + 2];
	int r = store_user_get(store, name, &user);
	if (r <= 0)
		return fail_start("%s \"%s\"", r < 0 ? "cannot read the user" : "there is no user", name);
	r = read_password(password, sizeof(password));
	if (r == 0)
		r = password_hash(password, user.password_hash);
	sodium_memzero(password, sizeof(password));
	if (r == -EINVAL)
		return fail_start("a password has %d to %d characters; it is read from standard input", PASSWORD_MIN,
				  PASSWORD_MAX);
	if (r == 0)
		r = store_user_put(store, &user);
	return r < 0 ? fail_start("cannot set the password: %s", strerror(-r)) : 0;
}

int command_user_set_password(const struct options *options)
{
	if (sodium_init() < 0) {
		fail_start("libsodium does not start");
		return 1;
	}
	struct store *store = open_store(options);
	if (!store)
		return 1;
	int r = set_password(store, options->name);
	store_close(store);
	return r == 0 ? 0 : 1;
}
