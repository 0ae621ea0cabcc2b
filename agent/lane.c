/* One thread at a time takes jobs. A thread whose job does not come back is not waited for: it keeps its job, a new one
 * is started for the rest, and should it ever come back it ends, because it is not the current one any more. Threads
 * are detached and hold the lane by reference, so that a lane can be let go while one of them still sits in the kernel.
 */
#include "agent/lane.h"

#include "agent/host/capabilities.h"
#include "common/clock.h"
#include "common/condition.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#define NS_PER_MS 1000000ull
#define STACK_BYTES ((size_t)128 << 10)

struct lane {
	pthread_mutex_t lock;
	pthread_cond_t work; /* a job came, or the end */
	pthread_cond_t left; /* a thread ended */
	struct lane_job *head, **tail;
	struct lane_job *current; /* of the current thread */
	uint64_t generation;	  /* of the current thread; others end when they come back */
	bool has_thread;	  /* the current one */
	bool closing;
	uint32_t threads; /* that have not ended, stuck ones included */
	struct lane_stats stats;
};

struct worker {
	struct lane *lane;
	uint64_t generation;
};

static void enter(struct lane_job *job, enum lane_state state)
{
	atomic_store_explicit(&job->since_ns, clock_monotonic_ns(), memory_order_relaxed);
	atomic_store_explicit(&job->state, (int)state, memory_order_release);
}

uint64_t lane_job_age_ms(const struct lane_job *job)
{
	uint64_t since_ns = atomic_load_explicit(&job->since_ns, memory_order_relaxed);
	uint64_t now_ns = clock_monotonic_ns();
	return now_ns > since_ns ? (now_ns - since_ns) / NS_PER_MS : 0;
}

int lane_new(struct lane **ret)
{
	struct lane *lane = calloc(1, sizeof(*lane));
	if (!lane)
		return -ENOMEM;
	int r = condition_init(&lane->left);
	if (r < 0) {
		free(lane);
		return r;
	}
	pthread_mutex_init(&lane->lock, NULL);
	pthread_cond_init(&lane->work, NULL);
	lane->tail = &lane->head;
	*ret = lane;
	return 0;
}

static void destroy(struct lane *lane)
{
	pthread_cond_destroy(&lane->work);
	pthread_cond_destroy(&lane->left);
	pthread_mutex_destroy(&lane->lock);
	free(lane);
}

static struct lane_job *take_job(struct lane *lane)
{
	struct lane_job *job = lane->head;
	lane->head = job->next;
	if (!lane->head)
		lane->tail = &lane->head;
	job->next = NULL;
	lane->stats.waiting--;
	return job;
}

/* The lock is held. */
static void work(struct lane *lane, uint64_t generation, struct capabilities_thread *rights)
{
	while (lane->generation == generation) {
		while (!lane->head && !lane->closing && lane->generation == generation)
			pthread_cond_wait(&lane->work, &lane->lock);
		if (lane->closing || lane->generation != generation)
			break;
		struct lane_job *job = take_job(lane);
		lane->current = job;
		enter(job, LANE_RUNNING);
		pthread_mutex_unlock(&lane->lock);
		capabilities_switch(rights, job->capabilities);
		job->run(job);
		capabilities_switch(rights, 0);
		pthread_mutex_lock(&lane->lock);
		/* Under the lock: once it is done its owner may free it, and lane_check() looks at the current job. */
		enter(job, LANE_DONE);
		lane->stats.runs++;
		if (lane->generation == generation)
			lane->current = NULL;
		else
			lane->stats.stuck--;
	}
}

static void *thread_main(void *arg)
{
	struct worker worker = *(struct worker *)arg;
	free(arg);
	struct lane *lane = worker.lane;
	struct capabilities_thread rights;
	capabilities_of_thread(&rights);
	capabilities_lower_all(&rights);
	pthread_mutex_lock(&lane->lock);
	work(lane, worker.generation, &rights);
	lane->threads--;
	pthread_cond_broadcast(&lane->left);
	pthread_mutex_unlock(&lane->lock);
	return NULL;
}

/* The lock is held. Signals are main's business: the thread is born with all of them blocked. */
static int start_thread(struct lane *lane)
{
	struct worker *worker = malloc(sizeof(*worker));
	if (!worker)
		return -EAGAIN;
	*worker = (struct worker){.lane = lane, .generation = lane->generation};
	pthread_attr_t attributes;
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	sigset_t all, before;
	(void)sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_t thread;
	int r = pthread_create(&thread, &attributes, thread_main, worker);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	if (r != 0) {
		free(worker);
		return -EAGAIN;
	}
	lane->threads++;
	lane->has_thread = true;
	return 0;
}

int lane_submit(struct lane *lane, struct lane_job *job)
{
	int r = 0;
	pthread_mutex_lock(&lane->lock);
	enum lane_state state = lane_job_state(job);
	if (state == LANE_WAITING || state == LANE_RUNNING)
		r = -EBUSY;
	if (r == 0 && !lane->has_thread)
		r = start_thread(lane);
	if (r == 0) {
		job->next = NULL;
		*lane->tail = job;
		lane->tail = &job->next;
		lane->stats.waiting++;
		enter(job, LANE_WAITING);
	}
	pthread_mutex_unlock(&lane->lock);
	/* Behind the lock, or who wakes up would wait for it first. The lane is freed by nobody but who submits. */
	if (r == 0)
		pthread_cond_signal(&lane->work);
	return r;
}

void lane_check(struct lane *lane)
{
	pthread_mutex_lock(&lane->lock);
	struct lane_job *job = lane->current;
	if (job && lane_job_age_ms(job) > LANE_STUCK_MS && lane->stats.stuck < LANE_MAX_STUCK) {
		lane->generation++;
		lane->current = NULL;
		lane->stats.stuck++;
		lane->stats.replaced_threads++;
		lane->has_thread = false;
		/* Without a new thread now, the next job that is submitted or the next check tries again. */
	}
	if (!lane->has_thread && lane->head)
		(void)start_thread(lane);
	pthread_mutex_unlock(&lane->lock);
}

struct lane_stats lane_stats(struct lane *lane)
{
	pthread_mutex_lock(&lane->lock);
	struct lane_stats stats = lane->stats;
	pthread_mutex_unlock(&lane->lock);
	return stats;
}

bool lane_free(struct lane *lane)
{
	if (!lane)
		return true;
	const struct timespec until = condition_in_ms(LANE_STUCK_MS);
	pthread_mutex_lock(&lane->lock);
	lane->closing = true;
	while (lane->head)
		enter(take_job(lane), LANE_IDLE);
	pthread_cond_broadcast(&lane->work);
	/* Those that are stuck already had their time. */
	while (lane->threads > lane->stats.stuck &&
	       pthread_cond_timedwait(&lane->left, &lane->lock, &until) != ETIMEDOUT)
		;
	bool all = lane->threads == 0;
	pthread_mutex_unlock(&lane->lock);
	if (all)
		destroy(lane);
	return all;
}
