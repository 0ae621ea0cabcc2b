/* Clients are authenticated only by what is read here, so everything is bounded before it is kept. */
#include "backend/web/live_request.h"

#include "common/wire.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOST_MAX 254

static int fail(char *error, size_t size, const char *why)
{
	(void)snprintf(error, size, "%s", why);
	return -EINVAL;
}

void live_subscription_free(struct live_subscription *subscription)
{
	for (size_t i = 0; i < subscription->n_hosts; i++)
		free(subscription->hosts[i]);
	free(subscription->hosts);
	*subscription = (struct live_subscription){.n_hosts = 0};
}

bool live_subscription_wants(const struct live_subscription *subscription, const char *host_id, const char *hostname)
{
	if (subscription->nothing)
		return false;
	if (subscription->all_hosts)
		return true;
	for (size_t i = 0; i < subscription->n_hosts; i++) {
		const char *host = subscription->hosts[i];
		if (strcmp(host, hostname) == 0 || strcasecmp(host, host_id) == 0)
			return true;
	}
	return false;
}

static int add_host(struct live_subscription *subscription, const char *name, size_t len, char *error, size_t size)
{
	if (len == 0 || len > HOST_MAX || memchr(name, '\0', len) || !wire_utf8((const uint8_t *)name, len))
		return fail(error, size, "hosts: a name must have 1 to 254 bytes of text");
	if (len == 1 && *name == '*') {
		subscription->all_hosts = true;
		return 0;
	}
	if (subscription->n_hosts == LIVE_MAX_HOSTS)
		return fail(error, size, "hosts: more than 1024 names; use \"*\"");
	if (!subscription->hosts) {
		subscription->hosts = calloc(LIVE_MAX_HOSTS, sizeof(*subscription->hosts));
		if (!subscription->hosts)
			return -ENOMEM;
	}
	char *copy = strndup(name, len);
	if (!copy)
		return -ENOMEM;
	subscription->hosts[subscription->n_hosts++] = copy;
	return 0;
}

static int add_section(struct live_subscription *subscription, const char *name, size_t len, char *error, size_t size)
{
	bool ok = len > 0 && len < LIVE_SECTION_MAX;
	for (size_t i = 0; ok && i < len; i++)
		ok = (name[i] >= 'a' && name[i] <= 'z') || (name[i] >= '0' && name[i] <= '9') || name[i] == '_';
	if (!ok)
		return fail(error, size, "sections: names are like \"cpu\" or \"block_io\"");
	if (subscription->n_sections == LIVE_MAX_SECTIONS)
		return fail(error, size, "sections: more than 32 names");
	memcpy(subscription->sections[subscription->n_sections++], name, len); /* zeroed before: terminated */
	return 0;
}

static int set_token(struct live_request *request, const char *token, size_t len, char *error, size_t size)
{
	if (len == 0 || len >= sizeof(request->token) || memchr(token, '\0', len))
		return fail(error, size, "token: missing, or too long to be one of ours");
	memcpy(request->token, token, len);
	return 0;
}

static int finish(int r, struct live_request *request, struct live_request *ret)
{
	if (r < 0) {
		live_subscription_free(&request->subscription);
		return r;
	}
	struct live_subscription *subscription = &request->subscription;
	subscription->nothing = !subscription->all_hosts && subscription->n_hosts == 0;
	*ret = *request;
	return 0;
}

/* --- protobuf --------------------------------------------------------------------------------------------------- */

static int read_authenticate(const struct wire_field *message, struct live_request *request, char *error, size_t size)
{
	struct wire_reader reader = wire_reader(message->data, message->len);
	struct wire_field field;
	int r;
	request->kind = LIVE_AUTHENTICATE;
	while ((r = wire_next(&reader, &field)) > 0) {
		if (field.number != 1)
			continue;
		if (field.type != WIRE_BYTES)
			return fail(error, size, "authenticate.token is not a string");
		memset(request->token, 0, sizeof(request->token));
		r = set_token(request, (const char *)field.data, field.len, error, size);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return fail(error, size, "authenticate is not a protobuf message");
	return request->token[0] ? 0 : fail(error, size, "authenticate.token is missing");
}

static int read_subscribe(const struct wire_field *message, struct live_request *request, char *error, size_t size)
{
	struct wire_reader reader = wire_reader(message->data, message->len);
	struct wire_field field;
	int r;
	request->kind = LIVE_SUBSCRIBE;
	while ((r = wire_next(&reader, &field)) > 0) {
		if (field.number != 1 && field.number != 2)
			continue;
		if (field.type != WIRE_BYTES)
			return fail(error, size, "subscribe.hosts and .sections are strings");
		const char *text = (const char *)field.data;
		if (field.number == 1)
			r = add_host(&request->subscription, text, field.len, error, size);
		else
			r = add_section(&request->subscription, text, field.len, error, size);
		if (r < 0)
			return r;
	}
	return r < 0 ? fail(error, size, "subscribe is not a protobuf message") : 0;
}

int live_request_parse_wire(const uint8_t *data, size_t len, struct live_request *ret, char *error, size_t error_size)
{
	struct wire_reader reader = wire_reader(data, len);
	struct live_request request = {.kind = LIVE_SUBSCRIBE};
	struct wire_field field;
	bool found = false;
	int r;
	while ((r = wire_next(&reader, &field)) > 0) {
		if (field.number != 1 && field.number != 2)
			continue;
		if (field.type != WIRE_BYTES || found) {
			r = fail(error, error_size, "a LiveRequest has exactly one of authenticate and subscribe");
			break;
		}
		found = true;
		r = field.number == 1 ? read_authenticate(&field, &request, error, error_size)
				      : read_subscribe(&field, &request, error, error_size);
		if (r < 0)
			break;
	}
	if (r == -EPROTO)
		r = fail(error, error_size, "the message is not a protobuf LiveRequest");
	else if (r == 0 && !found)
		r = fail(error, error_size, "the LiveRequest is empty or of a kind that is not known here");
	return finish(r, &request, ret);
}

/* --- JSON ------------------------------------------------------------------------------------------------------- */

typedef int (*add_fn)(struct live_subscription *subscription, const char *name, size_t len, char *error, size_t size);

static int read_names(const json_t *array, add_fn add, struct live_subscription *subscription, char *error, size_t size)
{
	const json_t *name;
	size_t i;
	if (!array)
		return 0;
	if (!json_is_array(array))
		return fail(error, size, "hosts and sections are arrays of strings");
	json_array_foreach(array, i, name)
	{
		if (!json_is_string(name))
			return fail(error, size, "hosts and sections are arrays of strings");
		int r = add(subscription, json_string_value(name), json_string_length(name), error, size);
		if (r < 0)
			return r;
	}
	return 0;
}

/* A misspelt "section" would otherwise mean all of them. */
static int check_members(json_t *object, const char *first, const char *second, char *error, size_t size)
{
	const char *key;
	json_t *value;
	json_object_foreach(object, key, value)
	{
		if (strcmp(key, "type") == 0 || strcmp(key, first) == 0 || (second && strcmp(key, second) == 0))
			continue;
		(void)snprintf(error, size, "unknown member \"%.40s\"", key);
		return -EINVAL;
	}
	return 0;
}

static int read_object(json_t *object, struct live_request *request, char *error, size_t size)
{
	const char *type = json_string_value(json_object_get(object, "type"));
	if (type && strcmp(type, "authenticate") == 0) {
		const json_t *token = json_object_get(object, "token");
		request->kind = LIVE_AUTHENTICATE;
		if (!json_is_string(token))
			return fail(error, size, "authenticate needs a \"token\"");
		int r = check_members(object, "token", NULL, error, size);
		return r < 0 ? r : set_token(request, json_string_value(token), json_string_length(token), error, size);
	}
	if (!type || strcmp(type, "subscribe") != 0)
		return fail(error, size, "\"type\" must be \"authenticate\" or \"subscribe\"");
	request->kind = LIVE_SUBSCRIBE;
	int r = check_members(object, "hosts", "sections", error, size);
	if (r == 0)
		r = read_names(json_object_get(object, "hosts"), add_host, &request->subscription, error, size);
	if (r == 0)
		r = read_names(json_object_get(object, "sections"), add_section, &request->subscription, error, size);
	return r;
}

int live_request_parse_json(const char *text, size_t len, struct live_request *ret, char *error, size_t error_size)
{
	struct live_request request = {.kind = LIVE_SUBSCRIBE};
	json_error_t where;
	json_t *object = json_loadb(text ? text : "", len, JSON_REJECT_DUPLICATES, &where);
	if (!json_is_object(object)) {
		json_decref(object);
		return fail(error, error_size, "the message is not a JSON object");
	}
	int r = read_object(object, &request, error, error_size);
	json_decref(object);
	return finish(r, &request, ret);
}
