/* Order matters at both ends. The scheduler exists before the sender, which may be handed a configuration at once, and
 * its thread starts after it, because it reads the sender's statistics. At the end the scheduler stops first, so that
 * the last snapshot is in the queue when the sender is told to finish. */
#include "agent/daemon.h"

#include "agent/delivery/queue.h"
#include "agent/delivery/sender.h"
#include "agent/remote_config.h"
#include "agent/scheduler.h"

#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define GRACE_MS 3000

static void watched_signals(sigset_t *set)
{
	(void)sigemptyset(set);
	(void)sigaddset(set, SIGTERM);
	(void)sigaddset(set, SIGINT);
	(void)sigaddset(set, SIGHUP);
}

int daemon_block_signals(void)
{
	sigset_t set;
	watched_signals(&set);
	(void)signal(SIGPIPE, SIG_IGN); /* a connection that ends is an error of write(), not the agent's end */
	return sigprocmask(SIG_BLOCK, &set, NULL) < 0 ? -errno : 0;
}

static int wait_for_end(void)
{
	sigset_t set;
	struct signalfd_siginfo info;
	watched_signals(&set);
	int fd = signalfd(-1, &set, SFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	for (;;) {
		ssize_t n = read(fd, &info, sizeof(info));
		if (n != (ssize_t)sizeof(info)) {
			if (n < 0 && errno == EINTR)
				continue;
			close(fd);
			return -EIO;
		}
		if (info.ssi_signo != SIGHUP)
			break;
		log_warn("SIGHUP does not reload the configuration",
			 LOG_STR("then", "restart the agent to apply changes"));
	}
	log_info("stopping", LOG_STR("signal", info.ssi_signo == SIGINT ? "SIGINT" : "SIGTERM"));
	close(fd);
	return 0;
}

static int start_sender(const struct daemon_settings *settings, struct remote_config *remote, struct queue *queue,
			struct sender **ret)
{
	const struct sender_options options = {
		.host = settings->options->backend_host,
		.port = settings->options->backend_port,
		.key = settings->key,
		.hello = settings->hello,
		.hello_len = settings->hello_len,
		.on_config = remote_config_apply,
		.arg = remote,
	};
	return sender_start(&options, queue, ret);
}

static int run(const struct daemon_settings *settings, struct queue *queue, struct scheduler *scheduler)
{
	struct remote_config remote = {.scheduler = scheduler, .collectors = settings->collectors};
	struct agent_status *status = sampler_status(settings->sampler);
	struct sender *sender;
	int r = start_sender(settings, &remote, queue, &sender);
	if (r < 0)
		return r;
	status->queue = queue;
	status->sender = sender;
	r = scheduler_start(scheduler);
	if (r == 0)
		r = wait_for_end();
	scheduler_stop(scheduler);
	sender_stop(sender, r == 0 ? GRACE_MS : 0);
	status->sender = NULL;
	status->queue = NULL;

	struct queue_stats stats = queue_stats(queue);
	log_info("stopped", LOG_UINT("acknowledged", stats.accepted), LOG_UINT("rejected", stats.rejected),
		 LOG_UINT("dropped", stats.dropped), LOG_UINT("unsent", stats.length));
	return r;
}

int daemon_run(const struct daemon_settings *settings)
{
	const struct scheduler_settings ticks = {
		.interval_ms = settings->options->interval_ms,
		.disabled = settings->disabled,
	};
	struct scheduler *scheduler = NULL;
	struct queue *queue = queue_new(QUEUE_SNAPSHOTS);
	int r = queue ? scheduler_new(settings->sampler, queue, ticks, &scheduler) : -ENOMEM;
	if (r == 0)
		r = run(settings, queue, scheduler);
	scheduler_free(scheduler);
	queue_free(queue);
	return r;
}
