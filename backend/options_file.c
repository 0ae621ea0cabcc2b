/* Every value is text to libcyaml: file, variables and flags then go through the same parsers, and say the same about
 * what is wrong. */
#include "backend/options_keys.h"

#include <cyaml/cyaml.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_MAX_BYTES (64u << 10)

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
	/* libcyaml repeats a value that is too long, and it may be one that holds a password. */
	bool in_words = complaint->what[0] != '\0' && e != CYAML_ERR_STRING_LENGTH_MAX;
	const char *what = in_words ? complaint->what : cyaml_strerror(e);
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

static void make_schema(cyaml_schema_field_t fields[OPTIONS_MAX_KEYS + 1])
{
	for (size_t i = 0; i < options_n_keys; i++) {
		fields[i] = (cyaml_schema_field_t){
			.key = options_keys[i].name,
			.data_offset = (uint32_t)(i * sizeof(char *)),
			.value = {.type = CYAML_STRING,
				  .flags = CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
				  .data_size = sizeof(char),
				  .string = {.min = 0, .max = OPTIONS_VALUE_MAX}},
		};
	}
	fields[options_n_keys] = (cyaml_schema_field_t)CYAML_FIELD_END;
}

int options_read_yaml(const char *yaml, size_t len, const char *file, struct options *options,
		      char error[OPTIONS_ERROR_SIZE])
{
	struct complaint complaint = {.what = ""};
	cyaml_schema_field_t fields[OPTIONS_MAX_KEYS + 1] = {0};
	make_schema(fields);
	const cyaml_schema_value_t schema = {
		.type = CYAML_MAPPING,
		.flags = CYAML_FLAG_POINTER,
		.data_size = OPTIONS_MAX_KEYS * sizeof(char *),
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
	for (size_t i = 0; i < options_n_keys && r == 0; i++) {
		if (!values[i] || options_keys[i].set(options, values[i]) == 0)
			continue;
		snprintf(error, OPTIONS_ERROR_SIZE, "%s: line %u: %s: \"%.200s\" is not %s", file,
			 line_of(yaml, len, options_keys[i].name), options_keys[i].name,
			 options_keys[i].is_secret ? "..." : values[i], options_keys[i].wants);
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

int options_read_file(const char *path, bool must_exist, struct options *options, char error[OPTIONS_ERROR_SIZE])
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
