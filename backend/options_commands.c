#include "backend/options_commands.h"

#include "backend/options_keys.h"

#include <errno.h>
#include <string.h>

#define TAKES(flag) (1u << (flag))

enum flag {
	FLAG_NAME,
	FLAG_FORMAT,
	FLAG_HOST,
	FLAG_METRIC,
	FLAG_FROM,
	FLAG_TO,
	FLAG_STEP,
	FLAG_FUNCTION,
	FLAG_OUTPUT,
	FLAG_RESUME,
	FLAG_N,
};

static const struct {
	const char *name;
	char letter; /* 0: none */
	bool is_switch;
	size_t offset; /* of a const char * in struct options_command */
	const char *help;
} flags[FLAG_N] = {
	[FLAG_NAME] = {"name", 0, false, offsetof(struct options_command, name), "what the key is called"},
	[FLAG_FORMAT] = {"format", 0, false, offsetof(struct options_command, format), "csv, openmetrics or jsonl"},
	[FLAG_HOST] = {"host", 0, false, offsetof(struct options_command, host),
		       "export: of this host alone; import: of lines that name none"},
	[FLAG_METRIC] = {"metric", 0, false, offsetof(struct options_command, metric),
			 "a selector, like 'cpu.cores.user_us{cpu=\"0\"}' (all metrics)"},
	[FLAG_FROM] = {"from", 0, false, offsetof(struct options_command, from),
		       "2026-11-21T00:00:00Z, seconds since 1970, or -24h (all there is)"},
	[FLAG_TO] = {"to", 0, false, offsetof(struct options_command, to), "the same; not part of it (now)"},
	[FLAG_STEP] = {"step", 0, false, offsetof(struct options_command, step),
		       "a value every 1m, 1h ... instead of every reading"},
	[FLAG_FUNCTION] = {"function", 0, false, offsetof(struct options_command, function),
			   "of a step: avg, min, max, sum, last, rate, increase, p50, p90, p99"},
	[FLAG_OUTPUT] = {"output", 'o', false, offsetof(struct options_command, output), "a file (standard output)"},
	[FLAG_RESUME] = {"resume", 0, true, offsetof(struct options_command, resume),
			 "go on where an export into that file stopped"},
};

static const struct {
	const char *first, *second; /* NULL: a word is enough */
	enum options_action action;
	size_t min, max; /* operands */
	unsigned takes, wants;
	const char *usage, *help;
} commands[] = {
	{"key", "create", OPTIONS_KEY_CREATE, 0, 0, TAKES(FLAG_NAME), TAKES(FLAG_NAME), "key create --name NAME",
	 "makes an agent key, prints it once"},
	{"user", "set-password", OPTIONS_USER_SET_PASSWORD, 1, 1, 0, 0, "user set-password NAME",
	 "reads a new password from standard input"},
	{"backup", NULL, OPTIONS_BACKUP, 1, 1, 0, 0, "backup FILE", "all of the store, while a backend runs on it"},
	{"restore", NULL, OPTIONS_RESTORE, 1, 1, 0, 0, "restore FILE", "a backup into an empty store, of either kind"},
	{"export", NULL, OPTIONS_EXPORT, 0, 0,
	 TAKES(FLAG_FORMAT) | TAKES(FLAG_HOST) | TAKES(FLAG_METRIC) | TAKES(FLAG_FROM) | TAKES(FLAG_TO) |
		 TAKES(FLAG_STEP) | TAKES(FLAG_FUNCTION) | TAKES(FLAG_OUTPUT) | TAKES(FLAG_RESUME),
	 TAKES(FLAG_FORMAT), "export --format FORMAT", "readings as text, while a backend runs"},
	{"import", NULL, OPTIONS_IMPORT, 1, OPTIONS_MAX_OPERANDS, TAKES(FLAG_FORMAT) | TAKES(FLAG_HOST),
	 TAKES(FLAG_FORMAT), "import --format FORMAT FILE...", "readings out of openmetrics or jsonl"},
};
#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

/* Whether the argument is this flag; *ret_value is behind '=', or NULL. */
static bool is_flag(const char *argument, enum flag flag, const char **ret_value)
{
	size_t len = strlen(flags[flag].name);
	*ret_value = NULL;
	if (flags[flag].letter && argument[0] == '-' && argument[1] == flags[flag].letter) {
		*ret_value = argument[2] ? argument + 2 : NULL;
		return true;
	}
	if (strncmp(argument, "--", 2) != 0 || strncmp(argument + 2, flags[flag].name, len) != 0)
		return false;
	if (argument[2 + len] == '=')
		*ret_value = argument + 3 + len;
	return *ret_value || argument[2 + len] == '\0';
}

int options_take_command_flag(int argc, char *const *argv, int *i, struct options_given *given,
			      char error[OPTIONS_ERROR_SIZE])
{
	const char *value, *argument = argv[*i];
	for (unsigned flag = 0; flag < FLAG_N; flag++) {
		if (!is_flag(argument, flag, &value))
			continue;
		if (flags[flag].is_switch)
			value = value ? NULL : "true";
		else if (!value && *i + 1 < argc)
			value = argv[++*i];
		if (!value || value[0] == '\0') {
			snprintf(error, OPTIONS_ERROR_SIZE, "%.100s wants %s value; see --help", argument,
				 flags[flag].is_switch ? "no" : "a");
			return -EINVAL;
		}
		given->values[flag] = value;
		return 1;
	}
	return 0;
}

static int complain(char error[OPTIONS_ERROR_SIZE], const char *before, const char *what, const char *after)
{
	snprintf(error, OPTIONS_ERROR_SIZE, "%s%.100s%s; see --help", before, what, after);
	return -EINVAL;
}

static int find_command(const struct options_given *given, size_t *ret, size_t *ret_words)
{
	for (size_t i = 0; i < N_COMMANDS; i++) {
		size_t words = commands[i].second ? 2 : 1;
		if (given->n_words < words || strcmp(given->words[0], commands[i].first) != 0 ||
		    (commands[i].second && strcmp(given->words[1], commands[i].second) != 0))
			continue;
		*ret = i;
		*ret_words = words;
		return 0;
	}
	return -EINVAL;
}

static void take_values(const struct options_given *given, struct options_command *command)
{
	for (unsigned flag = 0; flag < FLAG_N; flag++)
		memcpy((char *)command + flags[flag].offset, &given->values[flag], sizeof(const char *));
}

int options_take_command(const struct options_given *given, struct options *options, char error[OPTIONS_ERROR_SIZE])
{
	size_t c = 0, words = 0;
	bool none = given->n_words == 0;
	if (!none && find_command(given, &c, &words) < 0)
		return complain(error, "there is no command \"", given->words[0], given->n_words > 1 ? " ...\"" : "\"");
	for (unsigned flag = 0; flag < FLAG_N; flag++) {
		if (given->values[flag] && (none || !(commands[c].takes & TAKES(flag))))
			return complain(error, "--", flags[flag].name,
					none ? " belongs to a command" : " does not belong to this command");
		if (!none && !given->values[flag] && (commands[c].wants & TAKES(flag)))
			return complain(error, "the command is: ", commands[c].usage, "");
	}
	if (none)
		return 0;
	if (given->n_words - words < commands[c].min || given->n_words - words > commands[c].max)
		return complain(error, "the command is: ", commands[c].usage, "");
	options->action = commands[c].action;
	options->command.n_operands = given->n_words - words;
	memcpy(options->command.operands, given->words + words, options->command.n_operands * sizeof(given->words[0]));
	take_values(given, &options->command);
	const char *name =
		options->action == OPTIONS_USER_SET_PASSWORD ? options->command.operands[0] : options->command.name;
	if (name && options_copy_text(options->name, sizeof(options->name), name) < 0)
		return complain(error, "a name has 1 to 63 bytes: ", commands[c].usage, "");
	return 0;
}

void options_print_commands(FILE *out)
{
	for (size_t c = 0; c < N_COMMANDS; c++) {
		fprintf(out, "       sonde-backend %-31s %s\n", commands[c].usage, commands[c].help);
		for (unsigned flag = 0; flag < FLAG_N; flag++) {
			if ((commands[c].takes & TAKES(flag)) && !(commands[c].wants == commands[c].takes))
				fprintf(out, "           --%-12s %s\n", flags[flag].name, flags[flag].help);
		}
	}
}
