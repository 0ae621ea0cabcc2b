/* The timer is periodic and absolute: a slow tick does not move those after it, and the number of expirations says how
 * many were missed. CLOCK_MONOTONIC, so that a suspended host does not come back to a thousand missed ticks. */
#include "agent/scheduler.h"

#include "common/clock.h"
#include "common/log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define NS_PER_MS 1000000ull
#define QUIET_NS (60000 * NS_PER_MS)

struct scheduler {
	struct sampler *sampler;
	struct queue *queue;
	pthread_t thread;
	bool running;
	int timer_fd;
	int wake_fd; /* new settings, or the end */

	_Atomic uint64_t heartbeat_ns;

	pthread_mutex_t lock; /* of those below */
	struct scheduler_settings settings;
	sampler_set watched;
	uint64_t watched_until_ns;
	bool changed;
	bool stopping;

	struct scheduler_observer observer; /* on_snapshot is NULL without one */

	/* The thread's own. */
	uint32_t tick_ms;
	sampler_set told; /* to be watched */
	uint64_t told_until_ns;
	uint64_t due_ns; /* the tick the timer expires for next */
	struct {
		Sonde__V1__State__Code code;
		uint64_t quiet_until_ns;
	} logged[AGENT_MAX_COLLECTORS];
	bool push_failing;
};

bool scheduler_interval_valid(uint64_t interval_ms)
{
	return interval_ms >= SCHEDULER_MIN_INTERVAL_MS && interval_ms <= SCHEDULER_MAX_INTERVAL_MS;
}

uint64_t scheduler_next_ns(uint64_t now_ns, uint64_t interval_ns)
{
	return (now_ns / interval_ns + 1) * interval_ns;
}

uint32_t scheduler_tick_ms(const struct scheduler_settings *settings)
{
	uint32_t tick_ms = settings->interval_ms;
	for (size_t i = 0; i < AGENT_MAX_COLLECTORS; i++) {
		uint32_t period_ms = settings->sampler.period_ms[i];
		if (period_ms > 0 && period_ms < tick_ms)
			tick_ms = period_ms;
	}
	return tick_ms;
}

static bool valid(const struct scheduler_settings *settings)
{
	for (size_t i = 0; i < AGENT_MAX_COLLECTORS; i++) {
		uint32_t period_ms = settings->sampler.period_ms[i];
		if (period_ms > 0 && !scheduler_interval_valid(period_ms))
			return false;
	}
	return scheduler_interval_valid(settings->interval_ms);
}

/* Where one collector makes the ticks shorter, those that nobody said anything about keep the interval. */
static int configure_sampler(struct sampler *sampler, struct scheduler_settings *settings)
{
	if (scheduler_tick_ms(settings) < settings->interval_ms) {
		for (size_t i = 0; i < sampler_count(sampler); i++) {
			uint32_t own_ms = sampler_at(sampler, i).collector->period_ms;
			if (settings->sampler.period_ms[i] == 0)
				settings->sampler.period_ms[i] =
					own_ms > settings->interval_ms ? own_ms : settings->interval_ms;
		}
	}
	return sampler_configure(sampler, &settings->sampler);
}

static int set_timer(struct scheduler *s)
{
	uint64_t interval_ns = s->tick_ms * NS_PER_MS;
	s->due_ns = scheduler_next_ns(clock_monotonic_ns(), interval_ns);
	struct itimerspec spec = {
		.it_value = {(time_t)(s->due_ns / 1000000000), (long)(s->due_ns % 1000000000)},
		.it_interval = {(time_t)(interval_ns / 1000000000), (long)(interval_ns % 1000000000)},
	};
	return timerfd_settime(s->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL) < 0 ? -errno : 0;
}

/* Disabled and unavailable are not news at every tick, nor are first readings. */
static bool is_trouble(Sonde__V1__State__Code code)
{
	return code == SONDE__V1__STATE__CODE__CODE_FAILED || code == SONDE__V1__STATE__CODE__CODE_DEGRADED;
}

/* A section that comes and goes is worth a line a minute; what it is like when the minute is over is said then. */
static void log_changes(struct scheduler *s)
{
	uint64_t now_ns = clock_monotonic_ns();
	for (size_t i = 0; i < sampler_count(s->sampler); i++) {
		struct sampler_collector c = sampler_at(s->sampler, i);
		bool trouble = is_trouble(c.state.code), was_trouble = is_trouble(s->logged[i].code);
		if (!c.exists || c.state.code == s->logged[i].code || now_ns < s->logged[i].quiet_until_ns)
			continue;
		if (trouble)
			log_warn("section cannot be measured as it should", LOG_STR("section", c.collector->name),
				 LOG_STR("reason", c.state.reason), LOG_STR("detail", c.state.detail),
				 LOG_STR("then", "the snapshot says so, the other sections go on"));
		else if (was_trouble)
			log_info("section recovered", LOG_STR("section", c.collector->name));
		if (trouble || was_trouble)
			s->logged[i].quiet_until_ns = now_ns + QUIET_NS;
		s->logged[i].code = c.state.code;
	}
}

static void tell_watched(struct scheduler *s)
{
	const struct scheduler_observer *observer = &s->observer;
	sampler_set watched = clock_monotonic_ns() < s->told_until_ns ? s->told : 0;
	if (observer->on_snapshot && observer->is_watching(observer->arg))
		watched |= observer->sections;
	sampler_watch(s->sampler, watched, watched != 0 ? UINT64_MAX : 0);
}

static void tick(struct scheduler *s, uint64_t expirations)
{
	struct agent_status *status = sampler_status(s->sampler);
	uint64_t interval_ns = s->tick_ms * NS_PER_MS;
	uint64_t due_ns = s->due_ns + (expirations - 1) * interval_ns;
	status->missed_ticks += expirations - 1;
	if (clock_monotonic_ns() > due_ns + interval_ns / 10)
		status->late_ticks++;
	s->due_ns = due_ns + interval_ns;

	uint64_t sequence;
	const uint8_t *data;
	size_t len;
	tell_watched(s);
	int r = sampler_take(s->sampler, s->tick_ms, &sequence, &data, &len);
	if (r == 0 && s->observer.on_snapshot)
		s->observer.on_snapshot(s->observer.arg, data, len);
	if (r == 0)
		r = queue_push(s->queue, sequence, data, len);
	if (r < 0 && !s->push_failing)
		log_error("snapshot lost", LOG_ERR(r), LOG_STR("then", "the next tick tries again"));
	s->push_failing = r < 0;
	log_changes(s);
}

static void apply(struct scheduler *s, struct scheduler_settings *settings)
{
	uint32_t tick_ms = scheduler_tick_ms(settings), before_ms = s->tick_ms;
	int r = configure_sampler(s->sampler, settings);
	if (r == 0 && tick_ms != before_ms) {
		s->tick_ms = tick_ms;
		r = set_timer(s);
		if (r < 0)
			s->tick_ms = before_ms;
	}
	if (r < 0)
		log_error("settings cannot be applied", LOG_ERR(r), LOG_STR("then", "the old ones stay"));
	else
		log_info("settings applied", LOG_UINT("interval_ms", settings->interval_ms),
			 LOG_UINT("tick_ms", s->tick_ms));
}

/* False at the end. */
static bool take_orders(struct scheduler *s)
{
	uint64_t count;
	ssize_t n = read(s->wake_fd, &count, sizeof(count));
	(void)n; /* level-triggered: nothing to read is as good */

	pthread_mutex_lock(&s->lock);
	struct scheduler_settings settings = s->settings;
	bool changed = s->changed, stopping = s->stopping;
	s->changed = false;
	s->told = s->watched;
	s->told_until_ns = s->watched_until_ns;
	pthread_mutex_unlock(&s->lock);
	if (stopping)
		return false;
	if (changed)
		apply(s, &settings);
	return true;
}

static void *thread_main(void *arg)
{
	struct scheduler *s = arg;
	for (;;) {
		struct pollfd fds[2] = {{.fd = s->wake_fd, .events = POLLIN}, {.fd = s->timer_fd, .events = POLLIN}};
		atomic_store(&s->heartbeat_ns, clock_monotonic_ns());
		if (poll(fds, 2, SCHEDULER_HEARTBEAT_MS) < 0)
			continue;
		if (fds[0].revents && !take_orders(s))
			return NULL;
		uint64_t expirations;
		if (fds[1].revents && read(s->timer_fd, &expirations, sizeof(expirations)) == sizeof(expirations))
			tick(s, expirations);
	}
}

int scheduler_new(struct sampler *sampler, struct queue *queue, const struct scheduler_settings *settings,
		  struct scheduler **ret)
{
	if (!valid(settings))
		return -EINVAL;
	struct scheduler_settings effective = *settings;
	int configured = configure_sampler(sampler, &effective);
	if (configured < 0)
		return configured;
	struct scheduler *s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	*s = (struct scheduler){.sampler = sampler, .queue = queue, .settings = *settings};
	s->tick_ms = scheduler_tick_ms(settings);
	s->heartbeat_ns = clock_monotonic_ns();
	pthread_mutex_init(&s->lock, NULL);
	s->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->timer_fd < 0 || s->wake_fd < 0) {
		int r = -errno;
		scheduler_free(s);
		return r;
	}
	*ret = s;
	return 0;
}

void scheduler_observe(struct scheduler *scheduler, const struct scheduler_observer *observer)
{
	scheduler->observer = *observer;
}

int scheduler_start(struct scheduler *scheduler)
{
	int r = set_timer(scheduler);
	if (r == 0)
		r = -pthread_create(&scheduler->thread, NULL, thread_main, scheduler);
	scheduler->running = r == 0;
	return r;
}

static void wake(struct scheduler *s)
{
	uint64_t one = 1;
	ssize_t n = write(s->wake_fd, &one, sizeof(one));
	(void)n; /* fails only when it is full, and then it wakes already */
}

void scheduler_stop(struct scheduler *scheduler)
{
	if (!scheduler->running)
		return;
	pthread_mutex_lock(&scheduler->lock);
	scheduler->stopping = true;
	pthread_mutex_unlock(&scheduler->lock);
	wake(scheduler);
	pthread_join(scheduler->thread, NULL);
	scheduler->running = false;
}

void scheduler_free(struct scheduler *scheduler)
{
	if (!scheduler)
		return;
	scheduler_stop(scheduler);
	if (scheduler->timer_fd >= 0)
		close(scheduler->timer_fd);
	if (scheduler->wake_fd >= 0)
		close(scheduler->wake_fd);
	pthread_mutex_destroy(&scheduler->lock);
	free(scheduler);
}

int scheduler_configure(struct scheduler *scheduler, const struct scheduler_settings *settings)
{
	if (!valid(settings))
		return -EINVAL;
	pthread_mutex_lock(&scheduler->lock);
	scheduler->settings = *settings;
	scheduler->changed = true;
	pthread_mutex_unlock(&scheduler->lock);
	wake(scheduler);
	return 0;
}

void scheduler_settings(struct scheduler *scheduler, struct scheduler_settings *ret)
{
	pthread_mutex_lock(&scheduler->lock);
	*ret = scheduler->settings;
	pthread_mutex_unlock(&scheduler->lock);
}

void scheduler_watch(struct scheduler *scheduler, sampler_set sections, uint32_t seconds)
{
	pthread_mutex_lock(&scheduler->lock);
	scheduler->watched = sections;
	scheduler->watched_until_ns = clock_monotonic_ns() + seconds * 1000 * NS_PER_MS;
	pthread_mutex_unlock(&scheduler->lock);
	wake(scheduler);
}

uint64_t scheduler_heartbeat_ns(struct scheduler *scheduler)
{
	return atomic_load(&scheduler->heartbeat_ns);
}
