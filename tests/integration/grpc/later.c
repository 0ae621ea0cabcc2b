#include "tests/integration/grpc/later.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define STEP_US 5000

struct sleeper {
	struct laters *laters;
	struct grpc_call *call;
	uint64_t us;
	void (*fn)(struct grpc_call *call, bool alive, void *arg);
};

static void *sleep_then_post(void *arg)
{
	struct sleeper *s = arg;
	while (s->us > 0 && !atomic_load(&s->laters->stopping)) {
		uint64_t step = s->us < STEP_US ? s->us : STEP_US;
		nanosleep(&(struct timespec){.tv_nsec = (long)step * 1000}, NULL);
		s->us -= step;
	}
	if (grpc_call_post(s->call, s->fn, NULL) == -ENOMEM)
		abort();
	grpc_call_unref(s->call);
	atomic_fetch_sub(&s->laters->waiting, 1);
	free(s);
	return NULL;
}

void later(struct laters *laters, struct grpc_call *call, uint64_t us,
	   void (*fn)(struct grpc_call *call, bool alive, void *arg))
{
	struct sleeper *s = malloc(sizeof(*s));
	pthread_t thread;
	if (!s)
		abort();
	*s = (struct sleeper){.laters = laters, .call = grpc_call_ref(call), .us = us, .fn = fn};
	atomic_fetch_add(&laters->waiting, 1);
	if (pthread_create(&thread, NULL, sleep_then_post, s) != 0)
		abort();
	pthread_detach(thread);
}

void laters_stop(struct laters *laters)
{
	atomic_store(&laters->stopping, true);
	while (atomic_load(&laters->waiting) > 0)
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}
