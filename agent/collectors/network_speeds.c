#include "agent/collectors/network_speeds.h"

#include "agent/lane.h"

#include <stdlib.h>
#include <string.h>

struct network_speeds {
	struct lane_job job;
	struct lane *lane;
	const struct root *root;
	bool asked, answered; /* the batch holds questions, or answers */
	size_t n;
	struct network_speeds_answer batch[NETWORK_SPEEDS_BATCH];
};

static void run(struct lane_job *job)
{
	struct network_speeds *speeds = (struct network_speeds *)(void *)job;
	_Static_assert(offsetof(struct network_speeds, job) == 0, "the job is found by its address");
	for (size_t i = 0; i < speeds->n; i++)
		network_link_read_speed(speeds->root, speeds->batch[i].name, &speeds->batch[i].speed);
}

struct network_speeds *network_speeds_new(const struct collector_context *context)
{
	struct network_speeds *speeds = calloc(1, sizeof(*speeds));
	if (!speeds)
		return NULL;
	speeds->job.run = run;
	speeds->lane = context->lane;
	speeds->root = context->root;
	return speeds;
}

static bool is_busy(const struct network_speeds *speeds)
{
	enum lane_state state = lane_job_state(&speeds->job);
	return state == LANE_WAITING || state == LANE_RUNNING;
}

void network_speeds_free(struct network_speeds *speeds)
{
	if (speeds && !is_busy(speeds))
		free(speeds);
}

size_t network_speeds_take(struct network_speeds *speeds, const struct network_speeds_answer **ret)
{
	if (lane_job_state(&speeds->job) == LANE_DONE) {
		lane_job_take(&speeds->job);
		speeds->answered = true;
	}
	if (!speeds->answered)
		return 0;
	speeds->answered = false;
	*ret = speeds->batch;
	return speeds->n;
}

bool network_speeds_ask(struct network_speeds *speeds, const char *name, const struct network_link *link)
{
	/* Answers that nobody has taken yet are kept as well. */
	if (lane_job_state(&speeds->job) != LANE_IDLE || speeds->answered)
		return false;
	if (!speeds->asked)
		speeds->n = 0;
	if (speeds->n == NETWORK_SPEEDS_BATCH)
		return false;
	speeds->asked = true;
	struct network_speeds_answer *question = &speeds->batch[speeds->n++];
	*question = (struct network_speeds_answer){.has_ifindex = link->has_ifindex, .ifindex = link->ifindex};
	memcpy(question->name, name, strnlen(name, ROSTER_NAME_MAX));
	return true;
}

void network_speeds_send(struct network_speeds *speeds)
{
	if (!speeds->asked || is_busy(speeds))
		return;
	if (!speeds->lane) {
		run(&speeds->job);
		speeds->answered = true;
	} else if (lane_submit(speeds->lane, &speeds->job) < 0) {
		return; /* the batch stands and is sent at the next tick */
	}
	speeds->asked = false;
}
