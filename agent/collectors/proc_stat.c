#include "agent/collectors/proc_stat.h"

#include "agent/scan.h"

#include <errno.h>

#define MIN_TIMES 4 /* what the oldest kernels have: user nice system idle */

static const char *const counter_names[PROC_STAT_COUNTERS] = {
	[PROC_STAT_INTERRUPTS] = "intr", [PROC_STAT_SOFTIRQS] = "softirq",	[PROC_STAT_CONTEXT_SWITCHES] = "ctxt",
	[PROC_STAT_FORKS] = "processes", [PROC_STAT_RUNNING] = "procs_running", [PROC_STAT_BLOCKED] = "procs_blocked",
	[PROC_STAT_BOOT_TIME] = "btime",
};

const char *const proc_stat_softirq_names[PROC_STAT_SOFTIRQ_KINDS] = {
	"HI", "TIMER", "NET_TX", "NET_RX", "BLOCK", "IRQ_POLL", "TASKLET", "SCHED", "HRTIMER", "RCU"};

/* cpu0 4705 356 584 3699 23 0 23 0 0 0 */
static int parse_times(struct scan *line, struct proc_stat_cpu *cpu)
{
	unsigned n = 0;
	while (n < PROC_STAT_TIMES && !scan_at_end(line)) {
		int r = scan_u64(line, &cpu->ticks[n]);
		if (r < 0)
			return r;
		n++;
	}
	cpu->n_times = n;
	return n < MIN_TIMES ? -EPROTO : 0;
}

static int parse_cpu(struct word key, struct scan *line, struct proc_stat_cpu *cpus, size_t max, struct proc_stat *out)
{
	if (key.len == 3)
		return out->total.n_times > 0 ? -EPROTO : parse_times(line, &out->total);

	uint64_t number;
	int r = word_u64((struct word){key.text + 3, key.len - 3}, &number);
	if (r < 0)
		return r;
	if (number > UINT32_MAX || (out->n_cpus > 0 && number <= cpus[out->n_cpus - 1].cpu))
		return -EPROTO;
	if (out->n_cpus == max)
		return -EMSGSIZE;
	struct proc_stat_cpu *cpu = &cpus[out->n_cpus++];
	*cpu = (struct proc_stat_cpu){.cpu = (uint32_t)number};
	return parse_times(line, cpu);
}

/* softirq 9247297 0 568898 5 1097468 5500113 0 37 580121 12663 1487992 */
static int parse_softirq_kinds(struct scan *line, struct proc_stat *out)
{
	while (out->n_softirq_kinds < PROC_STAT_SOFTIRQ_KINDS && !scan_at_end(line)) {
		int r = scan_u64(line, &out->softirq_kinds[out->n_softirq_kinds]);
		if (r < 0)
			return r;
		out->n_softirq_kinds++;
	}
	return 0;
}

/* intr 114930548 113199788 3 0 5 263 0 4 ...: the first number is the sum */
static int parse_counter(struct word key, struct scan *line, struct proc_stat *out)
{
	for (size_t i = 0; i < PROC_STAT_COUNTERS; i++) {
		if (!word_is(key, counter_names[i]))
			continue;
		if (out->has[i])
			return -EPROTO;
		out->has[i] = true;
		int r = scan_u64(line, &out->counters[i]);
		return r == 0 && i == PROC_STAT_SOFTIRQS ? parse_softirq_kinds(line, out) : r;
	}
	return 0;
}

int proc_stat_parse(const char *text, size_t len, struct proc_stat_cpu *cpus, size_t max_cpus, struct proc_stat *ret)
{
	struct proc_stat out = {.n_cpus = 0};
	struct scan rest = scan_text(text, len), line;
	int r;
	while ((r = scan_line(&rest, &line)) > 0) {
		struct word key;
		r = scan_word(&line, &key);
		if (r == 0)
			r = word_starts(key, "cpu") ? parse_cpu(key, &line, cpus, max_cpus, &out)
						    : parse_counter(key, &line, &out);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	if (out.total.n_times == 0)
		return -EPROTO;
	*ret = out;
	return 0;
}

size_t proc_stat_count_cpus(const char *text, size_t len)
{
	struct scan rest = scan_text(text, len), line;
	struct word key;
	size_t n = 0;
	while (scan_line(&rest, &line) > 0 && scan_word(&line, &key) == 0 && word_starts(key, "cpu"))
		n += key.len > 3;
	return n;
}
