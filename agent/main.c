/* Reads the options, opens what they name, and hands over to --once or the daemon. Exit codes: 0, 1 for what went wrong
 * at run time, 2 for what the user can put right in the options. */
#include "agent/daemon.h"
#include "agent/export/once.h"
#include "agent/hello.h"
#include "agent/host/identity.h"
#include "agent/host/key_file.h"
#include "agent/options.h"
#include "agent/sampler.h"
#include "common/encoding.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXIT_USAGE 2
#define HELLO_MAX ((size_t)64 << 10)

struct agent {
	struct options options;
	struct root root;
	sampler_set disabled;
	uint8_t boot_id[16], instance[16];
	struct sampler *sampler;
};

static int complain(int code, const char *line)
{
	(void)fprintf(stderr, "sonde-agent: %s\n", line);
	return code;
}

static int complain_about(int code, const char *what, int error)
{
	char line[OPTIONS_ERROR_SIZE];
	(void)snprintf(line, sizeof(line), "%s: %s", what, log_strerror(error));
	return complain(code, line);
}

static sampler_set disabled_set(const struct options *options)
{
	sampler_set set = 0;
	for (size_t i = 0; i < options->n_disable; i++) {
		int at = sampler_find(collectors, options->disable[i]);
		if (at >= 0)
			set |= (sampler_set)1 << at;
	}
	return set;
}

/* What this host or the agent's rights leave out, once, at start. */
static void log_collectors(const struct agent *agent)
{
	for (size_t i = 0; i < sampler_count(agent->sampler); i++) {
		struct sampler_collector c = sampler_at(agent->sampler, i);
		if (c.exists || c.state.code == SONDE__V1__STATE__CODE__CODE_DISABLED)
			continue;
		log_warn("section cannot be measured", LOG_STR("section", c.collector->name),
			 LOG_STR("reason", c.state.reason), LOG_STR("detail", c.state.detail),
			 LOG_STR("needs", c.collector->needs));
	}
}

static int run_daemon(struct agent *agent)
{
	char host_id[UUID_TEXT_SIZE], key[KEY_FILE_KEY_SIZE], error[IDENTITY_ERROR_SIZE];
	bool exposed;
	if (key_file_read(agent->options.key_file, key, &exposed, error) < 0)
		return complain(EXIT_USAGE, error);
	if (exposed)
		log_warn("everybody can read the key file", LOG_STR("file", agent->options.key_file),
			 LOG_STR("do", "chmod 600"));
	if (identity_host_id(agent->options.state_dir, host_id, error) < 0)
		return complain(EXIT_USAGE, error);

	struct facts facts;
	facts_read(&agent->root, &facts);
	BUF_CLEANUP struct buf hello = BUF_INIT(HELLO_MAX);
	int r = hello_pack(host_id, agent->boot_id, agent->instance, &facts, &hello);
	if (r < 0)
		return complain_about(EXIT_FAILURE, "the greeting to the backend cannot be made", r);

	log_info("sonde-agent starts", LOG_STR("version", SONDE_VERSION), LOG_STR("host_id", host_id),
		 LOG_STR("hostname", facts.hostname), LOG_STR("kernel", facts.kernel),
		 LOG_STR("backend", agent->options.backend_host), LOG_UINT("port", agent->options.backend_port),
		 LOG_UINT("interval_ms", agent->options.interval_ms));
	if (geteuid() != 0)
		log_info("running without root", LOG_STR("then", "sections that need more rights say which"));
	log_collectors(agent);

	const struct daemon_settings settings = {
		.options = &agent->options,
		.collectors = collectors,
		.sampler = agent->sampler,
		.disabled = agent->disabled,
		.key = key,
		.hello = hello.data,
		.hello_len = hello.len,
	};
	r = daemon_run(&settings);
	return r < 0 ? complain_about(EXIT_FAILURE, "the agent cannot go on", r) : EXIT_SUCCESS;
}

static int run_once(struct agent *agent)
{
	int r = once_write(agent->sampler, agent->options.interval_ms, agent->options.format, stdout);
	return r < 0 ? complain_about(EXIT_FAILURE, "the snapshot cannot be written", r) : EXIT_SUCCESS;
}

static int run(struct agent *agent)
{
	const struct options *options = &agent->options;
	int r = identity_boot_id(&agent->root, agent->boot_id);
	if (r < 0)
		return complain_about(EXIT_USAGE,
				      "proc/sys/kernel/random/boot_id of the host cannot be read; is /proc there?", r);
	encoding_random(agent->instance, sizeof(agent->instance));
	agent->disabled = disabled_set(options);

	struct sampler_options sampler = {
		.collectors = collectors,
		.root = &agent->root,
		.btf_path = options->btf[0] != '\0' ? options->btf : NULL,
		.disabled = agent->disabled,
	};
	memcpy(sampler.boot_id, agent->boot_id, sizeof(sampler.boot_id));
	memcpy(sampler.instance, agent->instance, sizeof(sampler.instance));
	r = sampler_new(&sampler, &agent->sampler);
	if (r < 0)
		return complain_about(EXIT_FAILURE, "the collectors cannot be set up", r);
	int code = options->once ? run_once(agent) : run_daemon(agent);
	sampler_free(agent->sampler);
	return code;
}

static int read_options(int argc, char **argv, struct options *options)
{
	const char *names[AGENT_MAX_COLLECTORS + 1] = {NULL};
	char error[OPTIONS_ERROR_SIZE];
	for (size_t i = 0; collectors[i] && i < AGENT_MAX_COLLECTORS; i++)
		names[i] = collectors[i]->name;
	if (options_read(argc, argv, environ, names, options, error) < 0)
		return complain(EXIT_USAGE, error);
	return 0;
}

int main(int argc, char **argv)
{
	struct agent agent = {.sampler = NULL};
	int code = read_options(argc, argv, &agent.options);
	if (code != 0)
		return code;
	if (agent.options.action == OPTIONS_HELP) {
		options_print_help(stdout);
		return EXIT_SUCCESS;
	}
	if (agent.options.action == OPTIONS_VERSION) {
		(void)printf("sonde-agent %s\n", SONDE_VERSION);
		return EXIT_SUCCESS;
	}
	log_configure(agent.options.log_level, agent.options.log_format);
	/* --once leaves Ctrl-C its usual meaning. */
	int r = agent.options.once ? 0 : daemon_block_signals();
	if (r < 0)
		return complain_about(EXIT_FAILURE, "signals cannot be blocked", r);
	r = root_open(&agent.root, agent.options.root[0] != '\0' ? agent.options.root : NULL);
	if (r < 0)
		return complain_about(EXIT_USAGE, agent.options.root, r);
	code = run(&agent);
	root_close(&agent.root);
	return code;
}
