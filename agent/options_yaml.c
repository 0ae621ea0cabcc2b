#include "agent/options_yaml.h"

#include "agent/scan.h"

#include <cyaml/cyaml.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_TEXT 4095
#define MAX_NAMES 64

struct options_yaml {
	char *backend, *allow_plaintext, *ca_file, *tls_cert, *tls_key, *key_file, *interval, *state_dir, *root, *btf,
		*log_level, *log_format, *top, *keyframe, *command_line, *custom_dir, *spool_bytes, *metrics_listen,
		*metrics_plaintext, *probe_budget, *perf_uncore;
	const char **disable, **intervals, **exclude, **extra, **perf_events, **perf_cgroups;
	unsigned disable_count, intervals_count, exclude_count, extra_count, perf_events_count, perf_cgroups_count;
};

#define TEXT(key)                                                                                                      \
	CYAML_FIELD_STRING_PTR(#key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct options_yaml, key, 0, MAX_TEXT)

#define NAMES(key)                                                                                                     \
	CYAML_FIELD_SEQUENCE(#key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct options_yaml, key, &name_schema,   \
			     0, MAX_NAMES)

static const cyaml_schema_value_t name_schema = {
	CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 0, MAX_TEXT),
};

static const cyaml_schema_field_t fields[] = {
	TEXT(backend),
	TEXT(allow_plaintext),
	TEXT(key_file),
	TEXT(ca_file),
	TEXT(tls_cert),
	TEXT(tls_key),
	TEXT(interval),
	TEXT(state_dir),
	TEXT(root),
	TEXT(btf),
	TEXT(log_level),
	TEXT(log_format),
	TEXT(top),
	TEXT(keyframe),
	TEXT(command_line),
	TEXT(custom_dir),
	TEXT(spool_bytes),
	TEXT(metrics_listen),
	TEXT(metrics_plaintext),
	TEXT(perf_uncore),
	NAMES(disable),
	NAMES(intervals),
	NAMES(exclude),
	TEXT(probe_budget),
	NAMES(extra),
	NAMES(perf_events),
	NAMES(perf_cgroups),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t file_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct options_yaml, fields),
};

/* libcyaml reports what went wrong in a first line and where in a backtrace, innermost first. */
struct complaint {
	char what[256];
	char where[128];
};

__attribute__((format(printf, 3, 0))) static void listen(cyaml_log_t level, void *ctx, const char *format, va_list args)
{
	struct complaint *complaint = ctx;
	char line[256];
	(void)vsnprintf(line, sizeof(line), format, args);
	line[strcspn(line, "\n")] = '\0';
	const char *text = strncmp(line, "Load: ", 6) == 0 ? line + 6 : line;
	const char *position = strstr(text, "(line:");
	if (position && complaint->where[0] == '\0')
		(void)snprintf(complaint->where, sizeof(complaint->where), "%.100s", position);
	else if (!position && complaint->what[0] == '\0' && strncmp(text, "Backtrace", 9) != 0)
		(void)snprintf(complaint->what, sizeof(complaint->what), "%s", text);
}

/* For a key it will not take, libcyaml 1.3 names the place of the value before it. The number of the line that begins
 * with the key for the nth time, or 0. */
static unsigned find_line(const char *yaml, size_t len, const char *key, unsigned nth)
{
	const char *end = yaml + len;
	unsigned number = 1;
	for (const char *p = yaml; p < end; number++) {
		const char *newline = memchr(p, '\n', (size_t)(end - p));
		struct scan line = {.p = p, .end = newline ? newline : end};
		struct word name;
		if (scan_until(&line, ':', &name) == 0 && word_is(name, key) && --nth == 0)
			return number;
		p = newline ? newline + 1 : end;
	}
	return 0;
}

static void correct_place(const char *yaml, size_t len, struct complaint *complaint)
{
	static const struct {
		const char *prefix;
		unsigned nth;
	} kinds[] = {{"Unexpected key: ", 1}, {"Mapping field already seen: ", 2}};
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		size_t prefix = strlen(kinds[i].prefix);
		if (strncmp(complaint->what, kinds[i].prefix, prefix) != 0)
			continue;
		unsigned line = find_line(yaml, len, complaint->what + prefix, kinds[i].nth);
		if (line > 0)
			(void)snprintf(complaint->where, sizeof(complaint->where), "(line: %u)", line);
	}
}

int options_yaml_load(const char *yaml, size_t len, const char *file, struct options_yaml **ret, char *error,
		      size_t size)
{
	struct complaint complaint = {.what = ""};
	const cyaml_config_t config = {
		.log_fn = listen,
		.log_ctx = &complaint,
		.mem_fn = cyaml_mem,
		.log_level = CYAML_LOG_ERROR,
		.flags = CYAML_CFG_NO_ALIAS,
	};
	struct options_yaml *loaded = NULL;
	cyaml_err_t e =
		cyaml_load_data((const uint8_t *)yaml, len, &config, &file_schema, (cyaml_data_t **)&loaded, NULL);
	if (e != CYAML_OK) {
		correct_place(yaml, len, &complaint);
		const char *what = complaint.what[0] != '\0' ? complaint.what : cyaml_strerror(e);
		(void)snprintf(error, size, "%s: %s%s%s", file, what, complaint.where[0] != '\0' ? " " : "",
			       complaint.where);
		return -EINVAL;
	}
	/* A file of comments alone is a file without keys. */
	if (!loaded && !(loaded = calloc(1, sizeof(*loaded)))) {
		(void)snprintf(error, size, "%s: out of memory", file);
		return -EINVAL;
	}
	*ret = loaded;
	return 0;
}

void options_yaml_free(struct options_yaml *yaml)
{
	const cyaml_config_t config = {.mem_fn = cyaml_mem, .log_level = CYAML_LOG_ERROR};
	if (yaml)
		(void)cyaml_free(&config, &file_schema, yaml, 0);
}

const char *options_yaml_value(const struct options_yaml *yaml, const char *key)
{
	for (const cyaml_schema_field_t *field = fields; field->key; field++) {
		if (field->value.type != CYAML_STRING || strcmp(field->key, key) != 0)
			continue;
		const char *value;
		memcpy(&value, (const char *)yaml + field->data_offset, sizeof(value));
		return value;
	}
	return NULL;
}

size_t options_yaml_list(const struct options_yaml *yaml, const char *key, const char *const **ret_items)
{
	for (const cyaml_schema_field_t *field = fields; field->key; field++) {
		if (field->value.type != CYAML_SEQUENCE || strcmp(field->key, key) != 0)
			continue;
		unsigned count;
		memcpy(ret_items, (const char *)yaml + field->data_offset, sizeof(*ret_items));
		memcpy(&count, (const char *)yaml + field->count_offset, sizeof(count));
		return *ret_items ? count : 0;
	}
	return 0;
}
