/* Reads the options, opens what they name, and hands over to --once or the daemon. Exit codes: 0, 1 for what went wrong
 * at run time (or what the doctor found), 2 for what the user can put right in the options. */
#include "agent/daemon.h"
#include "agent/doctor/doctor.h"
#include "agent/export/metrics_listener.h"
#include "agent/export/once.h"
#include "agent/hello.h"
#include "agent/host/capabilities.h"
#include "agent/host/identity.h"
#include "agent/host/key_file.h"
#include "agent/options.h"
#include "agent/sampler.h"
#include "agent/top/top.h"
#include "common/encoding.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXIT_USAGE 2
#define HELLO_MAX ((size_t)64 << 10)

struct agent {
	int argc;
	char **argv;
	struct options options, next; /* `next` waits for reload() */
	struct root root;
	uint8_t boot_id[16], instance[16];
	struct sampler *sampler;
	/* Of the daemon. */
	char host_id[UUID_TEXT_SIZE], key[KEY_FILE_KEY_SIZE], next_key[KEY_FILE_KEY_SIZE];
	struct buf hello;
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

/* What the agent's rights leave out. */
static void log_capabilities(void)
{
	struct capability lacking[CAPABILITIES_MAX];
	size_t n = capabilities_lacking(lacking);
	for (size_t i = 0; i < n; i++)
		log_warn("running without a capability", LOG_STR("capability", lacking[i].name),
			 LOG_STR("cost", lacking[i].cost));
}

static void settings_from(const struct options *options, struct scheduler_settings *ret)
{
	*ret = (struct scheduler_settings){.interval_ms = options->interval_ms};
	ret->sampler.collector = options->collector;
	ret->sampler.exclude = options->exclude;
	for (size_t i = 0; i < options->n_intervals; i++) {
		int at = sampler_find(collectors, options->intervals[i].collector);
		if (at >= 0)
			ret->sampler.period_ms[at] = options->intervals[i].interval_ms;
	}
}

/* Around what is in agent->options. 0 or negative errno. */
static int make_sampler(struct agent *agent, uint64_t sequence)
{
	const struct options *options = &agent->options;
	struct scheduler_settings settings;
	settings_from(options, &settings);
	struct sampler_options sampler = {
		.collectors = collectors,
		.root = &agent->root,
		.btf_path = options->btf[0] != '\0' ? options->btf : NULL,
		.disabled = disabled_set(options),
		.settings = settings.sampler,
		.every_tick = options->once || options->action == OPTIONS_DOCTOR,
		.sequence = sequence,
	};
	memcpy(sampler.boot_id, agent->boot_id, sizeof(sampler.boot_id));
	memcpy(sampler.instance, agent->instance, sizeof(sampler.instance));
	return sampler_new(&sampler, &agent->sampler);
}

static int make_hello(struct agent *agent)
{
	struct facts facts;
	facts_read(&agent->root, &facts);
	buf_reset(&agent->hello);
	return hello_pack(agent->host_id, agent->boot_id, agent->instance, &facts, &agent->hello);
}

static int read_options(int argc, char **argv, struct options *options, char error[OPTIONS_ERROR_SIZE])
{
	const char *names[AGENT_MAX_COLLECTORS + 1] = {NULL};
	for (size_t i = 0; collectors[i] && i < AGENT_MAX_COLLECTORS; i++)
		names[i] = collectors[i]->name;
	return options_read(argc, argv, environ, names, options, error);
}

/* 0, or -EINVAL with error. As at the start, files may be read that only root may read. */
static int read_next(struct agent *agent, char error[OPTIONS_ERROR_SIZE])
{
	bool exposed;
	struct capabilities_thread rights;
	capabilities_of_thread(&rights);
	capabilities_switch(&rights, CAPABILITY_DAC_READ_SEARCH);
	int r = read_options(agent->argc, agent->argv, &agent->next, error);
	if (r == 0)
		r = key_file_read(agent->next.key_file, agent->next_key, &exposed, error);
	capabilities_switch(&rights, 0);
	return r;
}

/* As daemon_settings wants it. */
static bool check_reload(void *arg)
{
	struct agent *agent = arg;
	char error[OPTIONS_ERROR_SIZE];
	int r = read_next(agent, error);
	if (r == 0 && (strcmp(agent->next.root, agent->options.root) != 0 ||
		       strcmp(agent->next.state_dir, agent->options.state_dir) != 0 ||
		       agent->next.spool_bytes != agent->options.spool_bytes ||
		       agent->next.metrics_port != agent->options.metrics_port ||
		       strcmp(agent->next.metrics_host, agent->options.metrics_host) != 0)) {
		(void)snprintf(error, sizeof(error),
			       "root, state_dir, spool_bytes and metrics_listen can only be changed by a restart");
		r = -EINVAL;
	}
	if (r < 0)
		log_error("the configuration cannot be reloaded", LOG_STR("reason", error),
			  LOG_STR("then", "what is in force stays"));
	return r == 0;
}

static int reload(void *arg, struct daemon_settings *settings)
{
	struct agent *agent = arg;
	uint64_t sequence = sampler_sequence(agent->sampler);
	sampler_free(agent->sampler);
	agent->sampler = NULL;
	agent->options = agent->next;
	memcpy(agent->key, agent->next_key, sizeof(agent->key));
	log_configure(agent->options.log_level, agent->options.log_format);
	int r = make_sampler(agent, sequence);
	if (r == 0)
		r = make_hello(agent);
	if (r < 0)
		return r;
	log_collectors(agent);
	settings_from(&agent->options, &settings->scheduler);
	settings->sampler = agent->sampler;
	settings->hello = agent->hello.data;
	settings->hello_len = agent->hello.len;
	return 0;
}

/* Those that show a part of what they know at each tick alone: who scrapes now and then is to find all of it. */
static sampler_set sections_in_turns(void)
{
	static const char *const names[] = {"cgroups", "network"};
	sampler_set set = 0;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		int at = sampler_find(collectors, names[i]);
		set |= at >= 0 ? (sampler_set)1 << at : 0;
	}
	return set;
}

/* With the metrics listener, if one is wanted, around it. */
static int run_with_metrics(struct agent *agent, struct daemon_settings *settings)
{
	char error[METRICS_ERROR_SIZE];
	struct metrics_listener *listener;
	if (agent->options.metrics_host[0] == '\0')
		return daemon_run(settings);
	int r = metrics_listener_start(agent->options.metrics_host, agent->options.metrics_port, &listener, error);
	if (r < 0) {
		log_error("no metrics listener", LOG_STR("reason", error));
		return r;
	}
	log_info("metrics are served", LOG_STR("address", agent->options.metrics_host),
		 LOG_UINT("port", metrics_listener_port(listener)));
	const struct scheduler_observer observer = {
		.on_snapshot = metrics_listener_publish,
		.is_watching = metrics_listener_is_scraped,
		.sections = sections_in_turns(),
		.arg = listener,
	};
	settings->observer = &observer;
	r = daemon_run(settings);
	metrics_listener_stop(listener);
	return r;
}

static int run_daemon(struct agent *agent)
{
	char error[IDENTITY_ERROR_SIZE];
	bool exposed;
	if (key_file_read(agent->options.key_file, agent->key, &exposed, error) < 0)
		return complain(EXIT_USAGE, error);
	if (exposed)
		log_warn("everybody can read the key file", LOG_STR("file", agent->options.key_file),
			 LOG_STR("do", "chmod 600"));
	if (identity_host_id(agent->options.state_dir, agent->host_id, error) < 0)
		return complain(EXIT_USAGE, error);
	int r = make_hello(agent);
	if (r < 0)
		return complain_about(EXIT_FAILURE, "the greeting to the backend cannot be made", r);

	log_info("sonde-agent starts", LOG_STR("version", SONDE_VERSION), LOG_STR("host_id", agent->host_id),
		 LOG_STR("backend", agent->options.backend_host), LOG_UINT("port", agent->options.backend_port),
		 LOG_UINT("interval_ms", agent->options.interval_ms));
	log_capabilities();
	log_collectors(agent);
	r = capabilities_keep_used();
	if (r < 0)
		log_warn("rights that are not needed cannot be given up", LOG_ERR(r),
			 LOG_STR("then", "the agent goes on with them"));

	struct daemon_settings settings = {
		.options = &agent->options,
		.collectors = collectors,
		.root = &agent->root,
		.sampler = agent->sampler,
		.key = agent->key,
		.hello = agent->hello.data,
		.hello_len = agent->hello.len,
		.check = check_reload,
		.reload = reload,
		.arg = agent,
	};
	settings_from(&agent->options, &settings.scheduler);
	r = run_with_metrics(agent, &settings);
	return r < 0 ? complain_about(EXIT_FAILURE, "the agent cannot go on", r) : EXIT_SUCCESS;
}

static int run_once(struct agent *agent)
{
	int r = once_write(agent->sampler, agent->options.interval_ms, agent->options.format, stdout);
	return r < 0 ? complain_about(EXIT_FAILURE, "the snapshot cannot be written", r) : EXIT_SUCCESS;
}

static int run_top(struct agent *agent)
{
	struct facts facts;
	facts_read(&agent->root, &facts);
	const struct top top = {
		.sampler = agent->sampler,
		.interval_ms = agent->options.interval_ms,
		.hostname = facts.hostname,
		.once = agent->options.once,
	};
	int r = top_run(&top);
	return r < 0 ? complain_about(EXIT_FAILURE, "the view cannot go on", r) : EXIT_SUCCESS;
}

static int make_for_doctor(void *arg, struct sampler **ret)
{
	struct agent *agent = arg;
	int r = make_sampler(agent, 0);
	if (r == 0)
		*ret = agent->sampler;
	agent->sampler = NULL;
	return r;
}

static int run_doctor(struct agent *agent)
{
	const struct doctor doctor = {.collectors = collectors,
				      .options = &agent->options,
				      .root = &agent->root,
				      .make_sampler = make_for_doctor,
				      .arg = agent};
	int r = doctor_run(&doctor, stdout);
	return r < 0 ? complain_about(EXIT_FAILURE, "the host cannot be examined", r) : r;
}

static int run(struct agent *agent)
{
	int r = identity_boot_id(&agent->root, agent->boot_id);
	if (r < 0)
		return complain_about(EXIT_USAGE,
				      "proc/sys/kernel/random/boot_id of the host cannot be read; is /proc there?", r);
	encoding_random(agent->instance, sizeof(agent->instance));
	if (agent->options.action == OPTIONS_DOCTOR)
		return run_doctor(agent);
	r = make_sampler(agent, 0);
	if (r < 0)
		return complain_about(EXIT_FAILURE, "the collectors cannot be set up", r);
	bool is_top = agent->options.action == OPTIONS_TOP;
	int code = is_top ? run_top(agent) : agent->options.once ? run_once(agent) : run_daemon(agent);
	sampler_free(agent->sampler);
	buf_free(&agent->hello);
	return code;
}

int main(int argc, char **argv)
{
	static struct agent agent;
	char error[OPTIONS_ERROR_SIZE];
	/* Four threads that allocate little: an arena for each would be memory that nobody uses. */
	(void)mallopt(M_ARENA_MAX, 1); /* fails for no valid parameter */
	agent = (struct agent){.argc = argc, .argv = argv, .hello = BUF_INIT(HELLO_MAX)};
	if (read_options(argc, argv, &agent.options, error) < 0)
		return complain(EXIT_USAGE, error);
	if (agent.options.action == OPTIONS_HELP) {
		options_print_help(stdout);
		return EXIT_SUCCESS;
	}
	if (agent.options.action == OPTIONS_VERSION) {
		(void)printf("sonde-agent %s\n", SONDE_VERSION);
		return EXIT_SUCCESS;
	}
	/* Lines on standard error would spoil the screen; sections say themselves what is wrong with them. */
	if (agent.options.action == OPTIONS_TOP || agent.options.action == OPTIONS_DOCTOR)
		agent.options.log_level = LOG_LEVEL_ERROR;
	log_configure(agent.options.log_level, agent.options.log_format);
	/* The others leave Ctrl-C its usual meaning. */
	bool is_daemon = agent.options.action == OPTIONS_RUN && !agent.options.once;
	int r = is_daemon ? daemon_block_signals() : 0;
	if (r < 0)
		return complain_about(EXIT_FAILURE, "signals cannot be blocked", r);
	r = root_open(&agent.root, agent.options.root[0] != '\0' ? agent.options.root : NULL);
	if (r < 0)
		return complain_about(EXIT_USAGE, agent.options.root, r);
	int code = run(&agent);
	root_close(&agent.root);
	return code;
}
