/* The job's state is the only thing both threads look at: results are written before LANE_DONE and read after it. */
#include "agent/collectors/aside.h"

#define FRESH_PERIODS 3

static void run(struct lane_job *job)
{
	struct aside *aside = (struct aside *)job;
	aside->read(aside);
}

void aside_init(struct aside *aside, const struct collector_context *context, bool may_block, uint64_t period_us,
		void (*read)(struct aside *aside))
{
	*aside = (struct aside){
		.job = {.run = run},
		.read = read,
		.lane = may_block && context->live ? context->lane : NULL,
		.period_us = period_us,
	};
}

bool aside_is_due(const struct aside *aside, uint64_t now_us)
{
	if (lane_job_state(&aside->job) != LANE_IDLE)
		return false;
	return !aside->begun || now_us < aside->begun_us || now_us - aside->begun_us >= aside->period_us;
}

void aside_start(struct aside *aside, uint64_t now_us)
{
	if (!aside->lane) {
		aside->read(aside);
		atomic_store_explicit(&aside->job.state, LANE_DONE, memory_order_relaxed);
	} else if (lane_submit(aside->lane, &aside->job) < 0) {
		return;
	}
	aside->begun = true;
	aside->begun_us = now_us;
}

bool aside_take(struct aside *aside)
{
	if (lane_job_state(&aside->job) != LANE_DONE)
		return false;
	lane_job_take(&aside->job);
	aside->taken = true;
	aside->taken_us = aside->begun_us;
	return true;
}

bool aside_is_fresh(const struct aside *aside, uint64_t now_us)
{
	return aside->taken && now_us >= aside->taken_us &&
	       now_us - aside->taken_us <= FRESH_PERIODS * aside->period_us;
}
