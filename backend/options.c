#include "backend/options.h"

#include "backend/options_commands.h"
#include "backend/options_keys.h"

#include <errno.h>
#include <string.h>

/* True if the variable is SONDE_ and the key in capitals; *ret_value is behind the '='. */
static bool is_variable(const char *variable, const char *key, const char **ret_value)
{
	static const char prefix[] = "SONDE_";
	if (strncmp(variable, prefix, strlen(prefix)) != 0)
		return false;
	const char *p = variable + strlen(prefix);
	for (; *key; key++, p++) {
		char c = *key >= 'a' && *key <= 'z' ? (char)(*key - 'a' + 'A') : *key;
		if (*p != c)
			return false;
	}
	*ret_value = p + 1;
	return *p == '=';
}

static int read_environment(char *const *environment, struct options *options, char error[OPTIONS_ERROR_SIZE])
{
	const char *value;
	for (; *environment; environment++) {
		for (size_t i = 0; i < options_n_keys; i++) {
			if (!is_variable(*environment, options_keys[i].name, &value) ||
			    options_keys[i].set(options, value) == 0)
				continue;
			snprintf(error, OPTIONS_ERROR_SIZE, "%.*s: \"%.200s\" is not %s",
				 (int)(value - *environment) - 1, *environment,
				 options_keys[i].is_secret ? "..." : value, options_keys[i].wants);
			return -EBADMSG;
		}
		if (is_variable(*environment, "admin_password", &value) && value[0] != '\0' &&
		    options_copy_text(options->admin_password, sizeof(options->admin_password), value) < 0) {
			snprintf(error, OPTIONS_ERROR_SIZE, "SONDE_ADMIN_PASSWORD is longer than 1024 bytes");
			return -EBADMSG;
		}
	}
	return 0;
}

/* True if the argument is -- and the key with dashes, alone or followed by '='; *ret_value is behind the '=', or NULL.
 */
static bool is_flag(const char *argument, const char *key, const char **ret_value)
{
	if (strncmp(argument, "--", 2) != 0)
		return false;
	const char *p = argument + 2;
	for (; *key; key++, p++) {
		if (*p != (*key == '_' ? '-' : *key))
			return false;
	}
	*ret_value = *p == '=' ? p + 1 : NULL;
	return *p == '=' || *p == '\0';
}

#define FLAG_SIZE 32

static void flag_name(const char *key, char flag[FLAG_SIZE])
{
	snprintf(flag, FLAG_SIZE, "--%s", key);
	for (char *p = flag; *p; p++) {
		if (*p == '_')
			*p = '-';
	}
}

struct command_line {
	const char *config;
	bool help, version;
	struct options_given command;
	const char *values[OPTIONS_MAX_KEYS];
};

/* The value of a flag, from behind '=' or from the next argument. */
static int flag_value(int argc, char *const *argv, int *i, const char *behind, const char **ret,
		      char error[OPTIONS_ERROR_SIZE])
{
	if (!behind && *i + 1 < argc)
		behind = argv[++*i];
	if (!behind) {
		snprintf(error, OPTIONS_ERROR_SIZE, "%.100s wants a value; see --help", argv[*i]);
		return -EINVAL;
	}
	*ret = behind;
	return 0;
}

static int take_flag(int argc, char *const *argv, int *i, struct command_line *line, char error[OPTIONS_ERROR_SIZE])
{
	const char *argument = argv[*i], *value;
	for (size_t k = 0; k < options_n_keys; k++) {
		if (!is_flag(argument, options_keys[k].name, &value))
			continue;
		if (options_keys[k].is_switch) {
			line->values[k] = value ? value : "true";
			return 0;
		}
		return flag_value(argc, argv, i, value, &line->values[k], error);
	}
	if (is_flag(argument, "config", &value))
		return flag_value(argc, argv, i, value, &line->config, error);
	int taken = options_take_command_flag(argc, argv, i, &line->command, error);
	if (taken != 0)
		return taken < 0 ? taken : 0;
	if (strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0) {
		line->help = true;
		return 0;
	}
	if (strcmp(argument, "--version") == 0) {
		line->version = true;
		return 0;
	}
	/* Its value is not repeated: it may be meant for a flag that is secret. */
	size_t len = strcspn(argument, "=");
	snprintf(error, OPTIONS_ERROR_SIZE, "unknown flag %.*s; see --help", (int)(len < 100 ? len : 100), argument);
	return -EINVAL;
}

static int split(int argc, char *const *argv, struct command_line *line, char error[OPTIONS_ERROR_SIZE])
{
	for (int i = 1; i < argc; i++) {
		if (argv[i][0] == '-') {
			int r = take_flag(argc, argv, &i, line, error);
			if (r < 0)
				return r;
		} else if (line->command.n_words < sizeof(line->command.words) / sizeof(line->command.words[0])) {
			line->command.words[line->command.n_words++] = argv[i];
		} else {
			snprintf(error, OPTIONS_ERROR_SIZE, "too many words: \"%.100s\"; see --help", argv[i]);
			return -EINVAL;
		}
	}
	return 0;
}

/* --- all of it --------------------------------------------------------------------------------------------------- */

/* NAME beside the database, unless it was said; beside what SQLite's default is when a server has the database. */
static int beside_store(const struct options *o, const char *name, char *out, size_t size)
{
	static const char sqlite[] = "sqlite:";
	if (out[0] != '\0')
		return 0;
	const char *path =
		strncmp(o->store, sqlite, strlen(sqlite)) == 0 ? o->store + strlen(sqlite) : "/var/lib/sonde/";
	const char *slash = strrchr(path, '/');
	size_t directory = slash ? (size_t)(slash - path) + 1 : 0;
	if (directory + strlen(name) + 1 > size)
		return -ENAMETOOLONG;
	memcpy(out, path, directory);
	memcpy(out + directory, name, strlen(name) + 1);
	return 0;
}

static int derive_tls(struct options *o, char error[OPTIONS_ERROR_SIZE])
{
	const char *complaint = NULL;
	bool beyond = !options_is_loopback(o->grpc.host);
	if (o->tls_wanted == OPTIONS_TLS_AUTO)
		o->tls = o->tls_cert[0] != '\0' || o->tls_client_ca[0] != '\0' || (beyond && !o->allow_plaintext);
	else
		o->tls = o->tls_wanted == OPTIONS_TLS_ON;
	if (!o->tls && (o->tls_cert[0] != '\0' || o->tls_client_ca[0] != '\0'))
		complaint = "tls is false, but there is a certificate: leave out one of them";
	else if (o->tls_key[0] != '\0' && o->tls_cert[0] == '\0')
		complaint = "tls_key is given, but not tls_cert";
	if (!complaint)
		return 0;
	snprintf(error, OPTIONS_ERROR_SIZE, "%s", complaint);
	return -EBADMSG;
}

static int derive(struct options *o, char error[OPTIONS_ERROR_SIZE])
{
	int r = derive_tls(o, error);
	if (r < 0)
		return r;
	bool http = !options_is_loopback(o->http.host) && !o->allow_plaintext && !o->http_plaintext;
	bool grpc = !options_is_loopback(o->grpc.host) && !o->allow_plaintext && !o->tls;
	if (http || grpc) {
		const struct options_address *out = http ? &o->http : &o->grpc;
		snprintf(error, OPTIONS_ERROR_SIZE,
			 "%s:%u is not a loopback address, and connections are plaintext: passwords and keys could be "
			 "read on the way; say %s if that network is trusted",
			 out->host, out->port,
			 http ? "--http-plaintext (--allow-plaintext: gRPC too)" : "--allow-plaintext");
		return -EBADMSG;
	}
	if (beside_store(o, "agent.key", o->agent_key_file, sizeof(o->agent_key_file)) < 0 ||
	    beside_store(o, "tls", o->tls_dir, sizeof(o->tls_dir)) < 0) {
		snprintf(error, OPTIONS_ERROR_SIZE, "store: the path is too long");
		return -EBADMSG;
	}
	return 0;
}

int options_read(int argc, char *const *argv, char *const *environment, struct options *ret,
		 char error[OPTIONS_ERROR_SIZE])
{
	struct command_line line = {0};
	struct options options;
	char flag[FLAG_SIZE];
	options_defaults(&options);
	int r = split(argc, argv, &line, error);
	if (r == 0 && (line.help || line.version))
		options.action = line.help ? OPTIONS_HELP : OPTIONS_VERSION;
	else if (r == 0)
		r = options_take_command(&line.command, &options, error);
	if (r == 0 && options.action != OPTIONS_HELP && options.action != OPTIONS_VERSION) {
		r = options_read_file(line.config ? line.config : OPTIONS_DEFAULT_FILE, line.config != NULL, &options,
				      error);
		if (r == 0)
			r = read_environment(environment, &options, error);
		for (size_t i = 0; i < options_n_keys && r == 0; i++) {
			if (!line.values[i] || options_keys[i].set(&options, line.values[i]) == 0)
				continue;
			flag_name(options_keys[i].name, flag);
			snprintf(error, OPTIONS_ERROR_SIZE, "%s: \"%.200s\" is not %s", flag,
				 options_keys[i].is_secret ? "..." : line.values[i], options_keys[i].wants);
			r = -EINVAL;
		}
		if (r == 0)
			r = derive(&options, error);
	}
	if (r == 0)
		*ret = options;
	return r;
}

void options_print_help(FILE *out)
{
	fputs("usage: sonde-backend [--config FILE] [FLAGS]           keeps and serves what agents measure\n", out);
	options_print_commands(out);
	fputs("       sonde-backend --help | --version\n"
	      "\n"
	      "Each flag is also a key of the file (http_listen) and a variable (SONDE_HTTP_LISTEN). Flags win over\n"
	      "variables, variables over the file (" OPTIONS_DEFAULT_FILE " if it exists), the file over defaults.\n"
	      "SONDE_ADMIN_PASSWORD is the first admin's password; without it one is made and printed once.\n"
	      "\n",
	      out);
	for (size_t i = 0; i < options_n_keys; i++) {
		char flag[FLAG_SIZE];
		flag_name(options_keys[i].name, flag);
		fprintf(out, "  %-28s %s\n", flag, options_keys[i].help);
	}
}
