/* Order matters at both ends. The scheduler exists before the sender, which may be handed a configuration at once, and
 * its thread starts after it, because it reads the sender's statistics. At the end the scheduler stops first, so that
 * the last snapshot is in the queue when the sender is told to finish. */
#include "agent/daemon.h"

#include "agent/delivery/descriptor_sets.h"
#include "agent/delivery/queue.h"
#include "agent/delivery/sender.h"
#include "agent/notify.h"
#include "agent/remote_config.h"
#include "common/clock.h"
#include "proto/descriptors.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define GRACE_MS 3000
#define NS_PER_MS 1000000ull
#define STATUS_MS 10000 /* how often the service manager is told how things stand */

enum outcome { STOP, RELOAD };

struct daemon {
	struct daemon_settings *settings;
	struct notify notify;
	struct queue *queue;
	struct scheduler *scheduler;
	struct sender *sender;
	uint64_t status_ns; /* when the manager was last told */
};

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

/* A scheduler that has not been at its work for half the watchdog's time gives no sign of life. */
static void tell_manager(struct daemon *d)
{
	uint64_t now_ns = clock_monotonic_ns(), watchdog_ns = d->notify.watchdog_ns;
	if (watchdog_ns > 0 &&
	    now_ns - scheduler_heartbeat_ns(d->scheduler) < watchdog_ns / 2 + SCHEDULER_HEARTBEAT_MS * NS_PER_MS)
		notify_send(&d->notify, "WATCHDOG=1");
	if (now_ns - d->status_ns < STATUS_MS * NS_PER_MS)
		return;
	static const char *const links[] = {
		[SENDER_CONNECTING] = "connecting", [SENDER_STREAMING] = "streaming", [SENDER_WAITING] = "no backend"};
	struct queue_stats queue = queue_stats(d->queue);
	char status[160];
	(void)snprintf(status, sizeof(status), "STATUS=%s; %llu snapshots delivered, %llu waiting, %llu dropped",
		       links[sender_stats(d->sender).link], (unsigned long long)queue.accepted,
		       (unsigned long long)queue.length, (unsigned long long)queue.dropped);
	notify_send(&d->notify, status);
	d->status_ns = now_ns;
}

static int poll_ms(const struct daemon *d)
{
	if (d->notify.fd < 0)
		return -1;
	uint64_t third_ms = d->notify.watchdog_ns / 3 / NS_PER_MS;
	return third_ms > 0 && third_ms < STATUS_MS ? (int)third_ms : STATUS_MS;
}

/* The next signal, or 0 when it was time to look after something else. */
static int next_signal(struct daemon *d, int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	struct signalfd_siginfo info;
	int n = poll(&poll_fd, 1, poll_ms(d));
	if (n < 0 && errno != EINTR)
		return -errno;
	if (n <= 0)
		return 0;
	if (read(fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return errno == EINTR ? 0 : -EIO;
	return (int)info.ssi_signo;
}

/* An outcome or negative errno. */
static int wait_for_end(struct daemon *d)
{
	sigset_t set;
	watched_signals(&set);
	int fd = signalfd(-1, &set, SFD_CLOEXEC), outcome = -1;
	if (fd < 0)
		return -errno;
	while (outcome < 0) {
		int signal_number = next_signal(d, fd);
		if (signal_number < 0) {
			close(fd);
			return signal_number;
		}
		if (signal_number == 0) {
			tell_manager(d);
		} else if (signal_number != SIGHUP) {
			log_info("stopping", LOG_STR("signal", signal_number == SIGINT ? "SIGINT" : "SIGTERM"));
			outcome = STOP;
		} else if (d->settings->check(d->settings->arg)) {
			log_info("reloading the configuration");
			outcome = RELOAD;
		}
	}
	close(fd);
	return outcome;
}

static int start_sender(struct daemon *d, struct remote_config *remote)
{
	const struct daemon_settings *settings = d->settings;
	const struct sender_options options = {
		.host = settings->options->backend_host,
		.port = settings->options->backend_port,
		.key = settings->key,
		.ca_file = settings->options->ca_file,
		.certificate = settings->options->tls_cert,
		.certificate_key = settings->options->tls_key,
		.ca_dir = settings->options->state_dir,
		.plaintext_allowed =
			settings->options->allow_plaintext || options_is_loopback(settings->options->backend_host),
		.hello = settings->hello,
		.hello_len = settings->hello_len,
		.state_dir = settings->options->spool_bytes > 0 ? settings->options->state_dir : NULL,
		.on_config = remote_config_apply,
		.on_watch = remote_config_watch,
		.arg = remote,
	};
	return sender_start(&options, d->queue, &d->sender);
}

/* For the agent after this one, which may be another version. */
static void keep_descriptor_set(const char *dir, struct queue *queue)
{
	struct descriptor_blob set = descriptors_snapshot();
	int r = descriptor_sets_keep(dir, set.sha256, set.data, set.len);
	if (r < 0)
		log_warn("the descriptor set cannot be kept beside the spool", LOG_STR("directory", dir), LOG_ERR(r),
			 LOG_STR("then", "after an upgrade the backend may read what waits with its own"));
	descriptor_sets_prune(dir, set.sha256, queue);
}

/* A reload keeps the queue: another size of the spool wants a restart. */
static int open_queue(const struct daemon_settings *settings, struct queue **ret)
{
	char path[OPTIONS_PATH_SIZE + 16];
	(void)snprintf(path, sizeof(path), "%s/spool", settings->options->state_dir);
	const struct queue_options options = {
		.capacity = QUEUE_SNAPSHOTS,
		.spool_path = settings->options->spool_bytes > 0 ? path : NULL,
		.spool_bytes = settings->options->spool_bytes,
		.hello = settings->hello,
		.hello_len = settings->hello_len,
	};
	int r = queue_open(&options, ret);
	if (r == -EBUSY)
		log_error("another agent uses the state directory", LOG_STR("spool", path),
			  LOG_STR("do", "stop it, or give each a --state-dir of its own"));
	if (r == 0 && options.spool_path)
		keep_descriptor_set(settings->options->state_dir, *ret);
	return r;
}

/* An outcome or negative errno. */
static int run_threads(struct daemon *d)
{
	struct remote_config remote = {
		.scheduler = d->scheduler,
		.collectors = d->settings->collectors,
		.local = &d->settings->scheduler,
		.root = d->settings->root,
	};
	struct agent_status *status = sampler_status(d->settings->sampler);
	int r = start_sender(d, &remote);
	if (r < 0)
		return r;
	status->queue = d->queue;
	status->sender = d->sender;
	r = scheduler_start(d->scheduler);
	if (r == 0) {
		notify_send(&d->notify, "READY=1");
		r = wait_for_end(d);
	}
	if (r == STOP)
		notify_send(&d->notify, "STOPPING=1");
	if (r == RELOAD)
		notify_reloading(&d->notify);
	scheduler_stop(d->scheduler);
	/* What a reload leaves in the queue goes out on the next connection. */
	sender_stop(d->sender, r == STOP ? GRACE_MS : 0);
	d->sender = NULL;
	status->sender = NULL;
	status->queue = NULL;
	return r;
}

static int run(struct daemon *d)
{
	struct daemon_settings *settings = d->settings;
	int r;
	do {
		r = scheduler_new(settings->sampler, d->queue, &settings->scheduler, &d->scheduler);
		if (r == 0 && settings->observer)
			scheduler_observe(d->scheduler, settings->observer);
		if (r == 0)
			r = run_threads(d);
		scheduler_free(d->scheduler);
		d->scheduler = NULL;
		if (r == RELOAD) {
			int reloaded = settings->reload(settings->arg, settings);
			r = reloaded < 0 ? reloaded : RELOAD;
		}
	} while (r == RELOAD);

	struct queue_stats stats = queue_stats(d->queue);
	log_info("stopped", LOG_UINT("acknowledged", stats.accepted), LOG_UINT("rejected", stats.rejected),
		 LOG_UINT("dropped", stats.dropped), LOG_UINT("unsent", stats.length),
		 LOG_STR("then", stats.spool_bytes > 0 ? "what is unsent stays in the spool for the next start"
						       : "what is unsent is lost"));
	return r;
}

int daemon_run(struct daemon_settings *settings)
{
	struct daemon d = {.settings = settings};
	int r = notify_open(&d.notify);
	if (r < 0)
		log_warn("the service manager cannot be reached", LOG_ERR(r),
			 LOG_STR("then", "it is not told of start and stop, and its watchdog hears nothing"));
	r = open_queue(settings, &d.queue);
	if (r == 0)
		r = run(&d);
	queue_free(d.queue);
	notify_close(&d.notify);
	return r;
}
