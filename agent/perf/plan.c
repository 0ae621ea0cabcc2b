#include "agent/perf/plan.h"

#include <errno.h>
#include <string.h>

struct unit {
	uint8_t events[PERF_MAX_IN_GROUP];
	size_t n;
	bool forced;
};

static void add_group(struct perf_plan *plan, const struct unit *unit, bool pinned)
{
	if (unit->n == 0)
		return;
	memcpy(plan->groups[plan->n_groups].events, unit->events, sizeof(unit->events));
	plan->groups[plan->n_groups].n = (uint8_t)unit->n;
	plan->groups[plan->n_groups].pinned = pinned;
	plan->groups[plan->n_groups++].forced = unit->forced;
}

void perf_plan_together(const struct perf_event_set *set, struct perf_plan *ret)
{
	struct unit all = {.n = 0};
	*ret = (struct perf_plan){.n_groups = 0};
	for (size_t i = 0; i < set->n; i++) {
		all.events[all.n++] = (uint8_t)i;
		if (all.n < PERF_MAX_IN_GROUP && i + 1 < set->n)
			continue;
		add_group(ret, &all, false);
		all.n = 0;
	}
}

/* The next events that belong together, without those that cannot be opened; n is 0 when none of them can. */
static struct unit next_unit(const struct perf_event_set *set, const struct perf_plan *plan, size_t *at)
{
	struct unit unit = {.forced = set->events[*at].forced};
	unsigned number = set->events[*at].unit;
	for (; *at < set->n && set->events[*at].unit == number; ++*at) {
		if (plan->errors[*at] == 0 && unit.n < PERF_MAX_IN_GROUP)
			unit.events[unit.n++] = (uint8_t)*at;
	}
	return unit;
}

/* Leaves the group open in *ret if it runs. */
static bool runs(const struct perf_event_set *set, const struct perf_target *target, const struct unit *unit,
		 struct perf_group *ret)
{
	int errors[PERF_MAX_EVENTS];
	struct perf_reading readings[PERF_MAX_IN_GROUP];
	struct perf_group group = {.n = 0};
	if (perf_group_open(&group, set, unit->events, unit->n, target, true, errors) < 0)
		return false;
	if (group.n == unit->n && perf_group_read(&group, readings) == 0) {
		*ret = group;
		return true;
	}
	perf_group_close(&group);
	return false;
}

static bool fits(const struct perf_event_set *set, const struct perf_target *target, const struct unit *unit)
{
	struct perf_group group;
	if (!runs(set, target, unit, &group))
		return false;
	perf_group_close(&group);
	return true;
}

static void add_singles(struct perf_plan *plan, const struct unit *unit)
{
	for (size_t i = 0; i < unit->n; i++) {
		struct unit single = {.events = {unit->events[i]}, .n = 1};
		add_group(plan, &single, false);
	}
}

static bool join(const struct perf_event_set *set, const struct perf_target *target, struct unit *group,
		 const struct unit *unit)
{
	struct unit both = *group;
	if (both.n + unit->n > PERF_MAX_IN_GROUP)
		return false;
	memcpy(both.events + both.n, unit->events, unit->n);
	both.n += unit->n;
	if (!fits(set, target, &both))
		return false;
	*group = both;
	return true;
}

static void fill_groups(const struct perf_event_set *set, const struct perf_target *target, size_t at,
			struct perf_plan *plan)
{
	struct unit open = {.n = 0};
	while (at < set->n) {
		struct unit unit = next_unit(set, plan, &at);
		if (unit.n == 0)
			continue;
		if (unit.forced) {
			add_group(plan, &unit, false);
		} else if (!join(set, target, &open, &unit)) {
			add_group(plan, &open, false);
			open.n = 0;
			if (fits(set, target, &unit))
				open = unit;
			else
				add_singles(plan, &unit);
		}
	}
	add_group(plan, &open, false);
}

/* 0 if any event can be opened. */
static int try_each(const struct perf_event_set *set, const struct perf_target *target, struct perf_plan *plan)
{
	int first = 0;
	bool any = false;
	for (size_t i = 0; i < set->n; i++) {
		struct perf_group group;
		uint8_t event = (uint8_t)i;
		int r = perf_group_open(&group, set, &event, 1, target, false, plan->errors);
		any = any || r == 0;
		first = i == 0 ? r : first;
		if (r == 0)
			perf_group_close(&group);
	}
	return any ? 0 : first;
}

int perf_plan_make(const struct perf_event_set *set, const struct perf_target *target, struct perf_plan *ret)
{
	struct perf_plan plan = {.n_groups = 0};
	struct perf_group pinned = {.n = 0};
	size_t at = 0;
	int r = try_each(set, target, &plan);
	if (r == 0) {
		struct unit first = next_unit(set, &plan, &at);
		if (first.n > 0 && !first.forced && runs(set, target, &first, &pinned))
			add_group(&plan, &first, true);
		else
			at = 0; /* it takes turns with the others */
		fill_groups(set, target, at, &plan);
		perf_group_close(&pinned);
	}
	*ret = plan;
	return r;
}
