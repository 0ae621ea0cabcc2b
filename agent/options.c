/* Later wins, so that each place is read on top of the one before: defaults, file, environment, flags. */
#include "agent/options.h"

#include "agent/label.h"
#include "agent/options_keys.h"
#include "agent/options_yaml.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_FILE ((size_t)256 << 10)
#define DEFAULT_SPOOL_BYTES ((uint64_t)64 << 20)

static void print_flag(FILE *out, const char *name, const char *argument, const char *help)
{
	char flag[64];
	(void)snprintf(flag, sizeof(flag), "--%s%s%s", name, argument ? " " : "", argument ? argument : "");
	for (char *p = flag; *p && *p != ' '; p++)
		*p = *p == '_' ? '-' : *p;
	(void)fprintf(out, "  %-26s %s\n", flag, help);
}

void options_print_help(FILE *out)
{
	(void)fputs("usage: sonde-agent --backend HOST:PORT --key-file FILE [options]\n"
		    "       sonde-agent --once [--format json|prometheus] [options]\n"
		    "       sonde-agent top [--once] [options]\n"
		    "       sonde-agent doctor [--format json] [options]\n\n",
		    out);
	for (size_t i = 0; i < option_n_keys; i++)
		print_flag(out, option_keys[i].name, option_keys[i].argument, option_keys[i].help);
	print_flag(out, "config", "FILE", "YAML with the same keys (" OPTIONS_DEFAULT_FILE ", if it is there)");
	print_flag(out, "once", NULL, "two readings one interval apart, the second on standard output");
	print_flag(out, "help", NULL, "this");
	print_flag(out, "version", NULL, "of the agent");
	(void)fputs(
		"\nEvery key is also a variable: SONDE_KEY_FILE for --key-file. Flags win over variables, variables "
		"over the file.\n",
		out);
}

void options_defaults(struct options *ret)
{
	*ret = (struct options){.action = OPTIONS_RUN, .interval_ms = 1000, .log_level = LOG_LEVEL_INFO};
	settings_default(&ret->collector);
	ret->spool_bytes = DEFAULT_SPOOL_BYTES;
	(void)snprintf(ret->state_dir, sizeof(ret->state_dir), "%s", "/var/lib/sonde-agent");
}

static int add_yaml_list(const struct option_key *key, const struct options_yaml *yaml, struct options *options,
			 const struct option_source *source)
{
	const char *const *items;
	size_t n = options_yaml_list(yaml, key->name, &items);
	int r = 0;
	if (n > 0)
		options_clear_list(key, options);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = key->add(options, (struct word){items[i], strlen(items[i])}, source);
	return r;
}

static int read_yaml(const char *yaml, size_t len, const char *file, const char *const *names, struct options *options,
		     char error[OPTIONS_ERROR_SIZE])
{
	struct options_yaml *loaded;
	char where[OPTIONS_ERROR_SIZE];
	struct option_source source = {.name = where, .names = names, .error = error};
	int r = options_yaml_load(yaml, len, file, &loaded, error, OPTIONS_ERROR_SIZE);
	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < option_n_keys; i++) {
		(void)snprintf(where, sizeof(where), "%s: %s", file, option_keys[i].name);
		if (option_keys[i].add) {
			r = add_yaml_list(&option_keys[i], loaded, options, &source);
			continue;
		}
		const char *value = options_yaml_value(loaded, option_keys[i].name);
		if (value)
			r = option_keys[i].set(options, value, &source);
	}
	options_yaml_free(loaded);
	return r;
}

int options_read_yaml(const char *yaml, size_t len, const char *file, const char *const *names, struct options *options,
		      char error[OPTIONS_ERROR_SIZE])
{
	error[0] = '\0';
	int r = read_yaml(yaml, len, file, names, options, error);
	label_clean(error, strlen(error)); /* it quotes the file, and stays one line */
	return r;
}

static int read_file(const char *path, bool must_exist, const char *const *names, struct options *options,
		     char error[OPTIONS_ERROR_SIZE])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT && !must_exist)
		return 0;
	char *text = fd < 0 ? NULL : malloc(MAX_FILE + 1);
	ssize_t n = text ? read(fd, text, MAX_FILE + 1) : -1;
	int r = -EINVAL;
	if (n < 0)
		(void)snprintf(error, OPTIONS_ERROR_SIZE, "%.200s cannot be read: %s", path, log_strerror(errno));
	else if ((size_t)n > MAX_FILE)
		(void)snprintf(error, OPTIONS_ERROR_SIZE, "%.200s is larger than %zu bytes: is it the right file?",
			       path, MAX_FILE);
	else
		r = options_read_yaml(text, (size_t)n, path, names, options, error);
	free(text);
	if (fd >= 0)
		close(fd);
	return r;
}

/* --key-file names the key key_file. */
static bool is_flag_of(const char *flag, size_t len, const char *key)
{
	if (strlen(key) != len)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (flag[i] != (key[i] == '_' ? '-' : key[i]))
			return false;
	}
	return true;
}

static const char *find_variable(char *const *environment, const char *key, char *ret_name, size_t size)
{
	int len = snprintf(ret_name, size, "SONDE_%s", key);
	for (char *p = ret_name; *p; p++)
		*p = *p >= 'a' && *p <= 'z' ? (char)(*p - 'a' + 'A') : *p;
	for (; *environment; environment++) {
		if (strncmp(*environment, ret_name, (size_t)len) == 0 && (*environment)[len] == '=')
			return *environment + len + 1;
	}
	return NULL;
}

static int read_environment(char *const *environment, const char *const *names, struct options *options, char *error)
{
	char name[64];
	struct option_source source = {.name = name, .names = names, .error = error};
	for (size_t i = 0; i < option_n_keys; i++) {
		const char *value = option_keys[i].flag_only
					    ? NULL
					    : find_variable(environment, option_keys[i].name, name, sizeof(name));
		int r = value ? options_set(&option_keys[i], options, value, &source) : 0;
		if (r < 0)
			return r;
	}
	return 0;
}

static const struct {
	const char *name;
	enum options_action action;
} commands[] = {{"top", OPTIONS_TOP}, {"doctor", OPTIONS_DOCTOR}};

/* Takes "--name value" and "--name=value". *config is set by --config. */
static int read_flags(int argc, char *const *argv, const char *const *names, struct options *options,
		      const char **config, char *error)
{
	int first = 1;
	for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(argv[1], commands[i].name) == 0) {
			options->action = commands[i].action;
			first = 2;
		}
	}
	for (int i = first; i < argc; i++) {
		char flag[64];
		size_t len = strcspn(argv[i], "=");
		const char *value = argv[i][len] == '=' ? argv[i] + len + 1 : NULL;
		(void)snprintf(flag, sizeof(flag), "%.*s", (int)(len < 60 ? len : 60), argv[i]);
		struct option_source source = {.name = flag, .names = names, .error = error};
		const struct option_key *key = NULL;
		bool is_config = strcmp(flag, "--config") == 0, known = true;

		for (size_t k = 0; k < option_n_keys && strncmp(flag, "--", 2) == 0; k++) {
			if (is_flag_of(flag + 2, strlen(flag + 2), option_keys[k].name))
				key = &option_keys[k];
		}
		if (!value && (is_config || (key && key->argument))) {
			if (i + 1 == argc)
				return options_fail(&source, "a value is missing behind it");
			value = argv[++i];
		}
		if (is_config)
			*config = value;
		else if (key && options_set(key, options, value ? value : "true", &source) < 0)
			return -EINVAL;
		else if (!key && !value && strcmp(flag, "--once") == 0)
			options->once = true;
		else if (!key && !value && strcmp(flag, "--help") == 0)
			options->action = OPTIONS_HELP;
		else if (!key && !value && strcmp(flag, "--version") == 0)
			options->action = OPTIONS_VERSION;
		else
			known = key != NULL;
		if (!known)
			return options_fail(&source, "there is no such option; see --help");
	}
	return 0;
}

/* What only the whole can tell. */
static int check(const struct options *options, char *error)
{
	const char *complaint = NULL;
	if (options->action == OPTIONS_DOCTOR && options->format == OPTIONS_FORMAT_PROMETHEUS) {
		(void)snprintf(error, OPTIONS_ERROR_SIZE, "--format: the doctor writes text or json");
		return -EINVAL;
	}
	if (options->action != OPTIONS_RUN || options->once)
		return 0;
	if (options->backend_host[0] == '\0')
		complaint = "no backend: give --backend HOST:PORT, or --once to look at this host only";
	else if (options->key_file[0] == '\0')
		complaint = "no agent key: give --key-file FILE (sonde-backend key create makes a key)";
	else if (options->tls_key[0] != '\0' && options->tls_cert[0] == '\0')
		complaint = "tls_key is given, but not tls_cert";
	else if (options->metrics_host[0] != '\0' && !options->metrics_plaintext &&
		 !options_is_loopback(options->metrics_host))
		complaint = "metrics_listen is not an address of this host alone, and everybody who can reach it could "
			    "read "
			    "along: use 127.0.0.1, or --metrics-plaintext if the network can be trusted";
	if (!complaint)
		return 0;
	(void)snprintf(error, OPTIONS_ERROR_SIZE, "%s", complaint);
	return -EINVAL;
}

static int read_all(int argc, char *const *argv, char *const *environment, const char *const *names,
		    struct options *ret, char *error)
{
	/* Flags are read twice: first for --config and --help, then on top of all else. */
	struct options options;
	char variable[64];
	const char *config = NULL;
	options_defaults(&options);
	int r = read_flags(argc, argv, names, &options, &config, error);
	if (r < 0)
		return r;
	if (options.action != OPTIONS_HELP && options.action != OPTIONS_VERSION) {
		if (!config)
			config = find_variable(environment, "config", variable, sizeof(variable));
		options_defaults(&options);
		r = read_file(config ? config : OPTIONS_DEFAULT_FILE, config != NULL, names, &options, error);
		if (r == 0)
			r = read_environment(environment, names, &options, error);
		if (r == 0)
			r = read_flags(argc, argv, names, &options, &config, error);
		if (r == 0)
			r = check(&options, error);
		if (r < 0)
			return r;
	}
	*ret = options;
	return 0;
}

int options_read(int argc, char *const *argv, char *const *environment, const char *const *names, struct options *ret,
		 char error[OPTIONS_ERROR_SIZE])
{
	error[0] = '\0';
	int r = read_all(argc, argv, environment, names, ret, error);
	label_clean(error, strlen(error));
	return r;
}
