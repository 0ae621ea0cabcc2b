#include "agent/remote_config.h"

#include "agent/label.h"
#include "common/log.h"

#include <sonde/v1/ingest.pb-c.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* 0, or -EINVAL with a reason. */
static int read_names(const struct collector *const *table, const Sonde__V1__CollectorNames *disabled, sampler_set *ret,
		      char *reason, size_t size)
{
	sampler_set set = 0;
	for (size_t i = 0; i < disabled->n_names; i++) {
		int at = sampler_find(table, disabled->names[i]);
		if (at < 0) {
			(void)snprintf(reason, size, "there is no collector \"%.64s\"", disabled->names[i]);
			return -EINVAL;
		}
		set |= (sampler_set)1 << at;
	}
	*ret = set;
	return 0;
}

static int validate(const struct remote_config *self, const Sonde__V1__AgentConfig *config,
		    struct scheduler_settings *settings, char *reason, size_t size)
{
	if (config->has_interval_ms) {
		if (!scheduler_interval_valid(config->interval_ms)) {
			(void)snprintf(reason, size, "interval_ms is %u; it must be %d to %d", config->interval_ms,
				       SCHEDULER_MIN_INTERVAL_MS, SCHEDULER_MAX_INTERVAL_MS);
			return -EINVAL;
		}
		settings->interval_ms = config->interval_ms;
	}
	if (config->disabled_collectors)
		return read_names(self->collectors, config->disabled_collectors, &settings->disabled, reason, size);
	return 0;
}

static uint8_t *pack_status(const struct remote_config *self, const Sonde__V1__AgentConfig *config, bool applied,
			    char *reason, size_t *ret_len)
{
	Sonde__V1__ConfigStatus status = SONDE__V1__CONFIG_STATUS__INIT;
	Sonde__V1__AgentConfig in_force = SONDE__V1__AGENT_CONFIG__INIT;
	Sonde__V1__CollectorNames disabled = SONDE__V1__COLLECTOR_NAMES__INIT;
	char *names[AGENT_MAX_COLLECTORS];

	if (config && config->has_revision)
		SET(&status, revision, config->revision);
	SET(&status, applied, applied);
	if (!applied)
		status.reason = reason;
	struct scheduler_settings settings = scheduler_settings(self->scheduler);
	SET(&in_force, interval_ms, settings.interval_ms);
	disabled.names = names;
	in_force.disabled_collectors = &disabled;
	for (size_t i = 0; self->collectors[i]; i++) {
		if (settings.disabled >> i & 1)
			names[disabled.n_names++] = (char *)self->collectors[i]->name;
	}
	status.in_force = &in_force;
	uint8_t *packed = malloc(sonde__v1__config_status__get_packed_size(&status));
	if (packed)
		*ret_len = sonde__v1__config_status__pack(&status, packed);
	return packed;
}

uint8_t *remote_config_apply(void *arg, const uint8_t *data, size_t len, size_t *ret_len)
{
	const struct remote_config *self = arg;
	char reason[256] = "";
	int r = -EPROTO;
	Sonde__V1__AgentConfig *config = sonde__v1__agent_config__unpack(NULL, len, data);
	if (!config) {
		(void)snprintf(reason, sizeof(reason), "the configuration cannot be decoded");
	} else {
		struct scheduler_settings settings = scheduler_settings(self->scheduler);
		r = validate(self, config, &settings, reason, sizeof(reason));
		if (r == 0)
			r = scheduler_configure(self->scheduler, settings);
	}
	label_clean(reason, strlen(reason)); /* the name came from outside */
	if (r < 0)
		log_warn("configuration from the backend refused", LOG_STR("reason", reason),
			 LOG_STR("then", "what is in force stays"));
	uint8_t *packed = pack_status(self, config, r == 0, reason, ret_len);
	if (config)
		sonde__v1__agent_config__free_unpacked(config, NULL);
	return packed;
}
