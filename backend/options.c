/* One table names every key; flags, variables, the file's schema and the help text are derived from it, so that none
 * can be forgotten in one of them. */
#include "backend/options.h"

#include <arpa/inet.h>
#include <cyaml/cyaml.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_MAX_BYTES (64u << 10)
#define VALUE_MAX_BYTES 4095
#define KEYS_MAX 16

struct key {
	const char *name;
	/* Sets the value; -EINVAL if it is not one. */
	int (*set)(struct options *options, const char *value);
	bool is_switch; /* as a flag it takes no value */
	const char *wants;
	const char *help;
};

/* --- values ------------------------------------------------------------------------------------------------------ */

static int copy_text(char *out, size_t size, const char *value)
{
	size_t len = strlen(value);
	if (len == 0 || len >= size)
		return -EINVAL;
	memcpy(out, value, len + 1);
	return 0;
}

static int parse_number(const char *text, uint32_t max, uint32_t *ret)
{
	uint64_t v = 0;
	if (*text == '\0')
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9' || (v = v * 10 + (uint64_t)(*text - '0')) > max)
			return -EINVAL;
	}
	*ret = (uint32_t)v;
	return 0;
}

int options_parse_address(const char *text, struct options_address *ret)
{
	struct options_address address;
	const char *colon = strrchr(text, ':');
	uint8_t binary[16];
	uint32_t port;
	if (!colon || parse_number(colon + 1, 65535, &port) < 0)
		return -EINVAL;
	size_t len = (size_t)(colon - text);
	bool brackets = len >= 2 && text[0] == '[' && text[len - 1] == ']';
	if (brackets) {
		text++;
		len -= 2;
	}
	if (len == 0 || len >= sizeof(address.host))
		return -EINVAL;
	memcpy(address.host, text, len);
	address.host[len] = '\0';
	if (!brackets && strcmp(address.host, "localhost") == 0)
		memcpy(address.host, "127.0.0.1", sizeof("127.0.0.1"));
	if (inet_pton(brackets ? AF_INET6 : AF_INET, address.host, binary) != 1)
		return -EINVAL;
	address.port = (uint16_t)port;
	*ret = address;
	return 0;
}

bool options_is_loopback(const char *host)
{
	struct in_addr v4;
	struct in6_addr v6;
	if (inet_pton(AF_INET, host, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127;
	return inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

static int set_http_listen(struct options *o, const char *value)
{
	return options_parse_address(value, &o->http);
}

static int set_grpc_listen(struct options *o, const char *value)
{
	return options_parse_address(value, &o->grpc);
}

static int set_store(struct options *o, const char *value)
{
	return copy_text(o->store, sizeof(o->store), value);
}

static int set_web_root(struct options *o, const char *value)
{
	return copy_text(o->web_root, sizeof(o->web_root), value);
}

static int set_agent_key_file(struct options *o, const char *value)
{
	return copy_text(o->agent_key_file, sizeof(o->agent_key_file), value);
}

static int set_log_level(struct options *o, const char *value)
{
	return log_level_parse(value, &o->log_level);
}

static int set_log_format(struct options *o, const char *value)
{
	return log_format_parse(value, &o->log_format);
}

static int set_grpc_workers(struct options *o, const char *value)
{
	uint32_t n;
	if (parse_number(value, OPTIONS_MAX_WORKERS, &n) < 0 || n == 0)
		return -EINVAL;
	o->grpc_workers = n;
	return 0;
}

static int set_allow_plaintext(struct options *o, const char *value)
{
	if (strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
		return -EINVAL;
	o->allow_plaintext = value[0] == 't';
	return 0;
}

#define WANTS_ADDRESS "ADDRESS:PORT, like 127.0.0.1:8000 or [::1]:8000"

static const struct key keys[] = {
	{"http_listen", set_http_listen, false, WANTS_ADDRESS,
	 "where REST, WebSocket and dashboard listen (127.0.0.1:8000)"},
	{"grpc_listen", set_grpc_listen, false, WANTS_ADDRESS,
	 "where agents and gRPC clients connect (127.0.0.1:50051)"},
	{"store", set_store, false, "sqlite:PATH", "the database (sqlite:/var/lib/sonde/sonde.db)"},
	{"web_root", set_web_root, false, "a directory", "the built dashboard (" SONDE_WEB_ROOT ")"},
	{"agent_key_file", set_agent_key_file, false, "a file", "first agent key (agent.key beside the database)"},
	{"grpc_workers", set_grpc_workers, false, "1 to 64", "threads that serve gRPC (one a CPU, at most 4)"},
	{"allow_plaintext", set_allow_plaintext, true, "true or false",
	 "listen beyond the loopback address without encryption"},
	{"log_level", set_log_level, false, "debug, info, warn or error", "least important lines to log (info)"},
	{"log_format", set_log_format, false, "logfmt or json", "how a line looks (logfmt)"},
};
#define N_KEYS (sizeof(keys) / sizeof(keys[0]))
_Static_assert(N_KEYS <= KEYS_MAX, "the file's schema has room for every key");

void options_defaults(struct options *ret)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	*ret = (struct options){
		.action = OPTIONS_SERVE,
		.http = {.host = "127.0.0.1", .port = 8000},
		.grpc = {.host = "127.0.0.1", .port = 50051},
		.store = "sqlite:/var/lib/sonde/sonde.db",
		.web_root = SONDE_WEB_ROOT,
		.log_level = LOG_LEVEL_INFO,
		.log_format = LOG_FORMAT_LOGFMT,
		.grpc_workers = cpus < 1   ? 1
				: cpus > 4 ? 4
					   : (uint32_t)cpus,
	};
}

/* --- the file ---------------------------------------------------------------------------------------------------- */

/* libcyaml says what went wrong in a first line and where in a backtrace, innermost first. */
struct complaint {
	char what[256];
	char where[128];
};

__attribute__((format(printf, 3, 0))) static void listen_to_cyaml(cyaml_log_t level, void *ctx, const char *format,
								  va_list args)
{
	struct complaint *complaint = ctx;
	char line[256];
	vsnprintf(line, sizeof(line), format, args);
	line[strcspn(line, "\n")] = '\0';
	const char *text = strncmp(line, "Load: ", 6) == 0 ? line + 6 : line;
	const char *position = strstr(text, "(line:");
	if (position && complaint->where[0] == '\0')
		snprintf(complaint->where, sizeof(complaint->where), "%.100s", position);
	else if (!position && complaint->what[0] == '\0' && strncmp(text, "Backtrace", 9) != 0)
		snprintf(complaint->what, sizeof(complaint->what), "%s", text);
}

/* The line a key stands in: libcyaml's position is that of the event before it. 0 if it cannot be found. */
static unsigned line_of(const char *yaml, size_t len, const char *key)
{
	const char *end = yaml + len;
	size_t key_len = strlen(key);
	unsigned line = 1;
	for (const char *p = yaml; p < end && key_len > 0; line++) {
		const char *newline = memchr(p, '\n', (size_t)(end - p));
		const char *stop = newline ? newline : end;
		while (p < stop && (*p == ' ' || *p == '"' || *p == '\''))
			p++;
		if ((size_t)(stop - p) > key_len && memcmp(p, key, key_len) == 0 && strchr(":\"' ", p[key_len]) != NULL)
			return line;
		p = stop + 1;
	}
	return 0;
}

static void explain(const struct complaint *complaint, cyaml_err_t e, const char *yaml, size_t len, const char *file,
		    char error[OPTIONS_ERROR_SIZE])
{
	static const char unexpected[] = "Unexpected key: ";
	const char *what = complaint->what[0] != '\0' ? complaint->what : cyaml_strerror(e);
	if (strncmp(what, unexpected, strlen(unexpected)) == 0) {
		const char *key = what + strlen(unexpected);
		unsigned line = line_of(yaml, len, key);
		if (line > 0) {
			snprintf(error, OPTIONS_ERROR_SIZE, "%s: line %u: unknown key \"%s\"", file, line, key);
			return;
		}
	}
	snprintf(error, OPTIONS_ERROR_SIZE, "%s: %s %s", file, what, complaint->where);
}

/* Every value is text to libcyaml: files, variables and flags then go through the same parsers. */
static void make_schema(cyaml_schema_field_t fields[KEYS_MAX + 1])
{
	for (size_t i = 0; i < N_KEYS; i++) {
		fields[i] = (cyaml_schema_field_t){
			.key = keys[i].name,
			.data_offset = (uint32_t)(i * sizeof(char *)),
			.value = {.type = CYAML_STRING,
				  .flags = CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
				  .data_size = sizeof(char),
				  .string = {.min = 0, .max = VALUE_MAX_BYTES}},
		};
	}
	fields[N_KEYS] = (cyaml_schema_field_t)CYAML_FIELD_END;
}

int options_read_yaml(const char *yaml, size_t len, const char *file, struct options *options,
		      char error[OPTIONS_ERROR_SIZE])
{
	struct complaint complaint = {.what = ""};
	cyaml_schema_field_t fields[KEYS_MAX + 1] = {0};
	make_schema(fields);
	const cyaml_schema_value_t schema = {
		.type = CYAML_MAPPING,
		.flags = CYAML_FLAG_POINTER,
		.data_size = KEYS_MAX * sizeof(char *),
		.mapping = {.fields = fields},
	};
	const cyaml_config_t config = {
		.log_fn = listen_to_cyaml,
		.log_ctx = &complaint,
		.mem_fn = cyaml_mem,
		.log_level = CYAML_LOG_ERROR,
		.flags = CYAML_CFG_NO_ALIAS,
	};
	char **values = NULL;
	int r = 0;
	cyaml_err_t e = cyaml_load_data((const uint8_t *)yaml, len, &config, &schema, (cyaml_data_t **)&values, NULL);
	if (e != CYAML_OK) {
		explain(&complaint, e, yaml, len, file, error);
		return -EBADMSG;
	}
	if (!values) /* only comments */
		return 0;
	for (size_t i = 0; i < N_KEYS && r == 0; i++) {
		if (!values[i] || keys[i].set(options, values[i]) == 0)
			continue;
		snprintf(error, OPTIONS_ERROR_SIZE, "%s: line %u: %s: \"%.200s\" is not %s", file,
			 line_of(yaml, len, keys[i].name), keys[i].name, values[i], keys[i].wants);
		r = -EBADMSG;
	}
	if (cyaml_free(&config, &schema, values, 0) != CYAML_OK && r == 0)
		r = -ENOMEM;
	return r;
}

static int read_whole(const char *path, char *text, size_t *ret_len)
{
	size_t len = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	for (;;) {
		ssize_t n = read(fd, text + len, FILE_MAX_BYTES - len);
		int r = n < 0 ? -errno : len + (size_t)n == FILE_MAX_BYTES ? -EFBIG : 0;
		if (r < 0 || n == 0) {
			close(fd);
			*ret_len = len;
			return r;
		}
		len += (size_t)n;
	}
}

static int read_file(const char *path, bool must_exist, struct options *options, char error[OPTIONS_ERROR_SIZE])
{
	char *text = malloc(FILE_MAX_BYTES);
	size_t len = 0;
	int r = text ? read_whole(path, text, &len) : -ENOMEM;
	if (r == -ENOENT && !must_exist)
		r = 0;
	else if (r < 0)
		snprintf(error, OPTIONS_ERROR_SIZE, "cannot read the configuration %.300s: %s", path, strerror(-r));
	else if (len > 0)
		r = options_read_yaml(text, len, path, options, error);
	free(text);
	return r;
}

/* --- environment and flags --------------------------------------------------------------------------------------- */

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
		for (size_t i = 0; i < N_KEYS; i++) {
			if (!is_variable(*environment, keys[i].name, &value) || keys[i].set(options, value) == 0)
				continue;
			snprintf(error, OPTIONS_ERROR_SIZE, "%.*s: \"%.200s\" is not %s",
				 (int)(value - *environment) - 1, *environment, value, keys[i].wants);
			return -EBADMSG;
		}
		if (is_variable(*environment, "admin_password", &value) && value[0] != '\0' &&
		    copy_text(options->admin_password, sizeof(options->admin_password), value) < 0) {
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
	const char *name;
	const char *words[4];
	size_t n_words;
	bool help, version;
	const char *values[KEYS_MAX];
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
	for (size_t k = 0; k < N_KEYS; k++) {
		if (!is_flag(argument, keys[k].name, &value))
			continue;
		if (keys[k].is_switch) {
			line->values[k] = value ? value : "true";
			return 0;
		}
		return flag_value(argc, argv, i, value, &line->values[k], error);
	}
	if (is_flag(argument, "config", &value))
		return flag_value(argc, argv, i, value, &line->config, error);
	if (is_flag(argument, "name", &value))
		return flag_value(argc, argv, i, value, &line->name, error);
	if (strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0) {
		line->help = true;
		return 0;
	}
	if (strcmp(argument, "--version") == 0) {
		line->version = true;
		return 0;
	}
	snprintf(error, OPTIONS_ERROR_SIZE, "unknown flag %.100s; see --help", argument);
	return -EINVAL;
}

static int split(int argc, char *const *argv, struct command_line *line, char error[OPTIONS_ERROR_SIZE])
{
	for (int i = 1; i < argc; i++) {
		if (argv[i][0] == '-') {
			int r = take_flag(argc, argv, &i, line, error);
			if (r < 0)
				return r;
		} else if (line->n_words < sizeof(line->words) / sizeof(line->words[0])) {
			line->words[line->n_words++] = argv[i];
		} else {
			snprintf(error, OPTIONS_ERROR_SIZE, "too many words: \"%.100s\"; see --help", argv[i]);
			return -EINVAL;
		}
	}
	return 0;
}

static bool words_are(const struct command_line *line, size_t n, const char *first, const char *second)
{
	return line->n_words == n && strcmp(line->words[0], first) == 0 && strcmp(line->words[1], second) == 0;
}

static int take_command(const struct command_line *line, struct options *options, char error[OPTIONS_ERROR_SIZE])
{
	const char *name = NULL, *usage = NULL;
	if (line->help || line->version) {
		options->action = line->help ? OPTIONS_HELP : OPTIONS_VERSION;
		return 0;
	}
	if (words_are(line, 2, "key", "create")) {
		options->action = OPTIONS_KEY_CREATE;
		name = line->name;
		usage = "key create wants --name NAME, at most 63 bytes";
	} else if (words_are(line, 3, "user", "set-password")) {
		options->action = OPTIONS_USER_SET_PASSWORD;
		name = line->words[2];
		usage = "user set-password NAME: at most 63 bytes";
	} else if (line->n_words > 0) {
		usage = "the commands are: key create --name NAME, and user set-password NAME; see --help";
	} else if (line->name) {
		usage = "--name belongs to the command key create; see --help";
	}
	if (usage && (!name || copy_text(options->name, sizeof(options->name), name) < 0)) {
		snprintf(error, OPTIONS_ERROR_SIZE, "%s", usage);
		return -EINVAL;
	}
	return 0;
}

/* --- all of it --------------------------------------------------------------------------------------------------- */

static int derive(struct options *o, char error[OPTIONS_ERROR_SIZE])
{
	static const char sqlite[] = "sqlite:", file[] = "agent.key";
	const struct options_address *out = !options_is_loopback(o->http.host)	 ? &o->http
					    : !options_is_loopback(o->grpc.host) ? &o->grpc
										 : NULL;
	if (out && !o->allow_plaintext) {
		snprintf(error, OPTIONS_ERROR_SIZE,
			 "%s:%u is not a loopback address, and connections are plaintext: passwords and keys could be "
			 "read "
			 "on the way; say --allow-plaintext if that network is trusted",
			 out->host, out->port);
		return -EBADMSG;
	}
	if (o->agent_key_file[0] != '\0')
		return 0;
	const char *path = strncmp(o->store, sqlite, strlen(sqlite)) == 0 ? o->store + strlen(sqlite) : "";
	const char *slash = strrchr(path, '/');
	size_t directory = slash ? (size_t)(slash - path) + 1 : 0;
	if (directory + sizeof(file) > sizeof(o->agent_key_file)) {
		snprintf(error, OPTIONS_ERROR_SIZE, "store: the path is too long");
		return -EBADMSG;
	}
	memcpy(o->agent_key_file, path, directory);
	memcpy(o->agent_key_file + directory, file, sizeof(file));
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
	if (r == 0)
		r = take_command(&line, &options, error);
	if (r == 0 && options.action != OPTIONS_HELP && options.action != OPTIONS_VERSION) {
		r = read_file(line.config ? line.config : OPTIONS_DEFAULT_FILE, line.config != NULL, &options, error);
		if (r == 0)
			r = read_environment(environment, &options, error);
		for (size_t i = 0; i < N_KEYS && r == 0; i++) {
			if (!line.values[i] || keys[i].set(&options, line.values[i]) == 0)
				continue;
			flag_name(keys[i].name, flag);
			snprintf(error, OPTIONS_ERROR_SIZE, "%s: \"%.200s\" is not %s", flag, line.values[i],
				 keys[i].wants);
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
	fputs("usage: sonde-backend [--config FILE] [FLAGS]            keeps and serves what agents measure\n"
	      "       sonde-backend key create --name NAME [FLAGS]     makes an agent key, prints it once\n"
	      "       sonde-backend user set-password NAME [FLAGS]     reads a new password from standard input\n"
	      "       sonde-backend --help | --version\n"
	      "\n"
	      "Each flag is also a key of the file (http_listen) and a variable (SONDE_HTTP_LISTEN). Flags win over\n"
	      "variables, variables over the file (" OPTIONS_DEFAULT_FILE " if it exists), the file over defaults.\n"
	      "SONDE_ADMIN_PASSWORD is the first admin's password; without it one is made and printed once.\n"
	      "\n",
	      out);
	for (size_t i = 0; i < N_KEYS; i++) {
		char flag[FLAG_SIZE];
		flag_name(keys[i].name, flag);
		fprintf(out, "  %-18s %s\n", flag, keys[i].help);
	}
}
