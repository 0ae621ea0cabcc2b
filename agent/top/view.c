/* Everything is written line by line through put(), which cuts at the width, so that no part needs to know how wide the
 * terminal is. Counters of processes are turned into rates here, because only who looks at a table of processes wants
 * them; all other rates are the Summary's and the disks' own. */
#include "agent/top/view.h"

#include "common/rate.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_BYTES 2048
#define MAX_DEVICES_SHOWN 4
#define CORES_PER_LINE_MIN 10 /* characters one core takes */

struct page {
	const struct view *view;
	const Sonde__V1__Snapshot *before, *now;
	struct buf *out;
	size_t lines;
	int error;
};

void view_bytes(double bytes, char ret[8])
{
	static const char units[] = "KMGTPE";
	if (bytes < 1000) {
		(void)snprintf(ret, 8, "%.0f", bytes > 0 ? bytes : 0);
		return;
	}
	size_t unit = 0;
	double value = bytes / 1024;
	while (value >= 999.5 && units[unit + 1] != '\0') {
		value /= 1024;
		unit++;
	}
	(void)snprintf(ret, 8, value < 9.95 ? "%.1f%c" : "%.0f%c", value < 9999 ? value : 9999, units[unit]);
}

/* Bytes of the first `columns` characters. */
static size_t cut(const char *text, size_t columns)
{
	size_t i = 0;
	for (size_t n = 0; text[i] != '\0'; i++) {
		if (((unsigned char)text[i] & 0xc0) != 0x80 && n++ == columns)
			break;
	}
	return i;
}

static bool is_full(const struct page *page)
{
	return page->error < 0 || page->lines >= page->view->rows;
}

__attribute__((format(printf, 2, 3))) static void put(struct page *page, const char *format, ...)
{
	char line[LINE_BYTES];
	va_list args;
	if (is_full(page))
		return;
	va_start(args, format);
	(void)vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	int r = buf_append(page->out, line, cut(line, page->view->columns));
	if (r == 0)
		r = buf_append(page->out, "\n", 1);
	page->error = r;
	page->lines++;
}

static const char *percent(bool has, double ratio, char ret[12])
{
	if (has)
		(void)snprintf(ret, 12, "%.1f%%", ratio * 100);
	else
		(void)snprintf(ret, 12, "-");
	return ret;
}

static const char *bytes(bool has, double value, char ret[8])
{
	if (has)
		view_bytes(value, ret);
	else
		(void)snprintf(ret, 8, "-");
	return ret;
}

static void put_head(struct page *page)
{
	const Sonde__V1__Summary *s = page->now->summary;
	const Sonde__V1__Cpu *cpu = page->now->cpu;
	uint64_t up = s && s->has_uptime_seconds ? (uint64_t)s->uptime_seconds : 0;
	char load[64] = "-";
	if (cpu && cpu->has_load1)
		(void)snprintf(load, sizeof(load), "%.2f %.2f %.2f", cpu->load1, cpu->load5, cpu->load15);
	put(page, "%s  up %llu d %02llu:%02llu  load %s  CPUs %u", page->view->hostname,
	    (unsigned long long)(up / 86400), (unsigned long long)(up / 3600 % 24), (unsigned long long)(up / 60 % 60),
	    load, cpu && cpu->has_online ? cpu->online : 0);
}

static void put_summary(struct page *page)
{
	const Sonde__V1__Summary *s = page->now->summary;
	char a[12], b[12], c[12], d[12], e[12], x[8], y[8], z[8];
	if (!s)
		return;
	put(page, "CPU  busy %s  iowait %s  steal %s   waiting for: CPU %s  memory %s  I/O %s",
	    percent(s->has_cpu_busy_ratio, s->cpu_busy_ratio, a),
	    percent(s->has_cpu_iowait_ratio, s->cpu_iowait_ratio, b),
	    percent(s->has_cpu_steal_ratio, s->cpu_steal_ratio, c),
	    percent(s->has_pressure_cpu_some_ratio, s->pressure_cpu_some_ratio, d),
	    percent(s->has_pressure_memory_some_ratio, s->pressure_memory_some_ratio, e),
	    percent(s->has_pressure_io_some_ratio, s->pressure_io_some_ratio, (char[12]){0}));
	put(page, "Mem  used %s of %s  swap %s   paging in %s/s out %s/s",
	    percent(s->has_memory_used_ratio, s->memory_used_ratio, a),
	    bytes(s->has_memory_total_bytes, s->memory_total_bytes, x),
	    percent(s->has_swap_used_ratio, s->swap_used_ratio, b),
	    bytes(s->has_page_in_bytes_per_second, s->page_in_bytes_per_second, y),
	    bytes(s->has_page_out_bytes_per_second, s->page_out_bytes_per_second, z));
	put(page, "Disk busiest %s  read %s/s  write %s/s   Net  in %s/s  out %s/s",
	    percent(s->has_disk_utilisation_ratio, s->disk_utilisation_ratio, a),
	    bytes(s->has_disk_read_bytes_per_second, s->disk_read_bytes_per_second, x),
	    bytes(s->has_disk_write_bytes_per_second, s->disk_write_bytes_per_second, y),
	    bytes(s->has_network_receive_bytes_per_second, s->network_receive_bytes_per_second, z),
	    bytes(s->has_network_transmit_bytes_per_second, s->network_transmit_bytes_per_second, (char[8]){0}));
}

/* --- cores ------------------------------------------------------------------------------------------------------- */

static const Sonde__V1__CpuTimes *find_core(const Sonde__V1__Snapshot *snapshot, uint32_t cpu)
{
	for (size_t i = 0; snapshot && snapshot->cpu && i < snapshot->cpu->n_cores; i++) {
		if (snapshot->cpu->cores[i]->cpu == cpu)
			return snapshot->cpu->cores[i];
	}
	return NULL;
}

static bool core_busy(const Sonde__V1__CpuTimes *before, const Sonde__V1__CpuTimes *now, double *ret)
{
	enum { IDLE = 3, IOWAIT = 4, N = 8 };
	double idle, iowait;
	if (!before)
		return false;
	const uint64_t a[N] = {before->user_us,	  before->nice_us, before->system_us,  before->idle_us,
			       before->iowait_us, before->irq_us,  before->softirq_us, before->steal_us};
	const uint64_t b[N] = {now->user_us,   now->nice_us, now->system_us,  now->idle_us,
			       now->iowait_us, now->irq_us,  now->softirq_us, now->steal_us};
	if (!rate_share(a, b, N, IDLE, &idle) || !rate_share(a, b, N, IOWAIT, &iowait))
		return false;
	*ret = 1 - idle - iowait > 0 ? 1 - idle - iowait : 0;
	return true;
}

static void put_cores(struct page *page)
{
	const Sonde__V1__Cpu *cpu = page->now->cpu;
	size_t per_line = (page->view->columns - 5) / CORES_PER_LINE_MIN, used = 0;
	char line[LINE_BYTES];
	for (size_t i = 0; cpu && i < cpu->n_cores && !is_full(page); i++) {
		double busy = 0;
		char text[12];
		bool known = core_busy(find_core(page->before, cpu->cores[i]->cpu), cpu->cores[i], &busy);
		if (i % per_line == 0)
			used = (size_t)snprintf(line, sizeof(line), "Cores");
		if (used < sizeof(line))
			used += (size_t)snprintf(line + used, sizeof(line) - used, " %3u %5s", cpu->cores[i]->cpu,
						 percent(known, busy, text));
		if (i % per_line == per_line - 1 || i + 1 == cpu->n_cores)
			put(page, "%s", line);
	}
}

/* --- disks ------------------------------------------------------------------------------------------------------- */

static int by_utilisation(const void *a, const void *b)
{
	const Sonde__V1__Disk *x = *(Sonde__V1__Disk *const *)a, *y = *(Sonde__V1__Disk *const *)b;
	double p = x->rates ? x->rates->utilisation_ratio : -1, q = y->rates ? y->rates->utilisation_ratio : -1;
	return p < q ? 1 : p > q ? -1 : strcmp(x->device, y->device);
}

static const char *milliseconds(bool has, double us, char ret[12])
{
	if (has)
		(void)snprintf(ret, 12, "%.2f", us / 1000);
	else
		(void)snprintf(ret, 12, "-");
	return ret;
}

static void put_disks(struct page *page)
{
	const Sonde__V1__Disks *disks = page->now->disks;
	if (!disks || disks->n_devices == 0)
		return;
	qsort(disks->devices, disks->n_devices, sizeof(disks->devices[0]), by_utilisation);
	put(page, "%-12s %6s %9s %9s %7s", "DISK", "UTIL", "READ ms", "WRITE ms", "QUEUE");
	for (size_t i = 0; i < disks->n_devices && i < MAX_DEVICES_SHOWN; i++) {
		const Sonde__V1__Disk *disk = disks->devices[i];
		const Sonde__V1__DiskRates *r = disk->rates;
		char a[12], b[12], c[12], queue[12] = "-";
		if (r && r->has_queue_length)
			(void)snprintf(queue, sizeof(queue), "%.2f", r->queue_length);
		put(page, "%-12s %6s %9s %9s %7s", disk->device,
		    percent(r && r->has_utilisation_ratio, r ? r->utilisation_ratio : 0, a),
		    milliseconds(r && r->has_read_await_us, r ? r->read_await_us : 0, b),
		    milliseconds(r && r->has_write_await_us, r ? r->write_await_us : 0, c), queue);
	}
}

/* --- processes --------------------------------------------------------------------------------------------------- */

struct line {
	const Sonde__V1__Process *process;
	bool has_rates, has_io;
	double cpu_ratio, read_rate, write_rate;
};

static int by_identity(const void *a, const void *b)
{
	const Sonde__V1__Process *x = *(Sonde__V1__Process *const *)a, *y = *(Sonde__V1__Process *const *)b;
	if (x->pid != y->pid)
		return x->pid < y->pid ? -1 : 1;
	return x->start_time_us < y->start_time_us ? -1 : x->start_time_us > y->start_time_us;
}

static void take_rates(const Sonde__V1__Process *before, uint64_t elapsed_us, struct line *line)
{
	const Sonde__V1__Process *now = line->process;
	double us_per_second;
	if (!rate_per_second(before->cpu_us, now->cpu_us, elapsed_us, &us_per_second))
		return;
	line->has_rates = true;
	line->cpu_ratio = us_per_second / 1e6;
	line->has_io = now->has_read_bytes && before->has_read_bytes &&
		       rate_per_second(before->read_bytes, now->read_bytes, elapsed_us, &line->read_rate) &&
		       rate_per_second(before->write_bytes, now->write_bytes, elapsed_us, &line->write_rate);
}

static double key(const struct line *line, enum view_order order)
{
	if (order == VIEW_BY_MEMORY)
		return (double)line->process->resident_bytes;
	if (order == VIEW_BY_IO)
		return line->has_io ? line->read_rate + line->write_rate : -1;
	return line->has_rates ? line->cpu_ratio : -1;
}

static int by_key(const void *a, const void *b, void *order)
{
	double x = key(a, *(enum view_order *)order), y = key(b, *(enum view_order *)order);
	if (x != y)
		return x < y ? 1 : -1;
	double m = (double)((const struct line *)a)->process->resident_bytes,
	       n = (double)((const struct line *)b)->process->resident_bytes;
	return m < n ? 1 : m > n ? -1 : 0;
}

static char state_letter(const Sonde__V1__Process *process)
{
	static const char letters[] = "?RSDTZI";
	unsigned state = process->has_process_state ? (unsigned)process->process_state : 0;
	return letters[state < sizeof(letters) - 1 ? state : 0];
}

static void put_process(struct page *page, const struct line *line)
{
	const Sonde__V1__Process *p = line->process;
	char cpu[12], rss[8], in[8], out[8];
	const char *what = p->command_line ? p->command_line : p->comm ? p->comm : "";
	put(page, "%7u %-10.10s %6s %5s %5s %5s %4llu %c %s", p->pid, p->user ? p->user : "-",
	    percent(line->has_rates, line->cpu_ratio, cpu),
	    bytes(p->has_resident_bytes, (double)p->resident_bytes, rss), bytes(line->has_io, line->read_rate, in),
	    bytes(line->has_io, line->write_rate, out), (unsigned long long)p->threads, state_letter(p), what);
}

static void put_processes(struct page *page)
{
	const Sonde__V1__Processes *now = page->now->processes, *before = page->before ? page->before->processes : NULL;
	if (!now)
		return;
	put(page, "Tasks %llu processes, %llu threads: %llu running, %llu waiting for I/O, %llu zombie",
	    (unsigned long long)now->process_count, (unsigned long long)now->thread_count,
	    (unsigned long long)now->running, (unsigned long long)now->uninterruptible,
	    (unsigned long long)now->zombie);
	struct line *lines = calloc(now->n_processes + 1, sizeof(*lines));
	if (!lines) {
		page->error = -ENOMEM;
		return;
	}
	uint64_t elapsed_us = before && before->state && now->state
				      ? rate_delta(before->state->collected_at_us, now->state->collected_at_us)
				      : 0;
	if (before)
		qsort(before->processes, before->n_processes, sizeof(before->processes[0]), by_identity);
	for (size_t i = 0; i < now->n_processes; i++) {
		lines[i].process = now->processes[i];
		Sonde__V1__Process *const *last =
			before ? bsearch(&now->processes[i], before->processes, before->n_processes,
					 sizeof(before->processes[0]), by_identity)
			       : NULL;
		if (last)
			take_rates(*last, elapsed_us, &lines[i]);
	}
	enum view_order order = page->view->order;
	qsort_r(lines, now->n_processes, sizeof(*lines), by_key, &order);
	put(page, "%7s %-10s %6s %5s %5s %5s %4s S %s", "PID", "USER", "CPU", "RSS", "READ", "WRITE", "THR", "COMMAND");
	for (size_t i = 0; i < now->n_processes && !is_full(page); i++)
		put_process(page, &lines[i]);
	free(lines);
}

/* --- what cannot be seen ------------------------------------------------------------------------------------------ */

static bool is_worth_a_line(const Sonde__V1__State *state)
{
	return state && (state->code == SONDE__V1__STATE__CODE__CODE_FAILED ||
			 state->code == SONDE__V1__STATE__CODE__CODE_DEGRADED ||
			 state->code == SONDE__V1__STATE__CODE__CODE_DENIED);
}

static void put_troubles(struct page *page)
{
	const ProtobufCMessageDescriptor *type = &sonde__v1__snapshot__descriptor;
	for (unsigned i = 0; i < type->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &type->fields[i];
		const ProtobufCMessage *section;
		if (field->type != PROTOBUF_C_TYPE_MESSAGE)
			continue;
		const ProtobufCFieldDescriptor *state_field =
			protobuf_c_message_descriptor_get_field_by_name(field->descriptor, "state");
		memcpy(&section, (const char *)page->now + field->offset, sizeof(section));
		if (!section || !state_field || state_field->descriptor != &sonde__v1__state__descriptor)
			continue;
		const Sonde__V1__State *state;
		memcpy(&state, (const char *)section + state_field->offset, sizeof(state));
		if (is_worth_a_line(state))
			put(page, "! %s: %s", field->name, state->detail ? state->detail : "");
	}
}

int view_write(const struct view *view, const Sonde__V1__Snapshot *before, const Sonde__V1__Snapshot *now,
	       struct buf *out)
{
	struct view shown = *view;
	size_t len = out->len;
	if (shown.columns < VIEW_MIN_COLUMNS)
		shown.columns = VIEW_MIN_COLUMNS;
	if (view->rows == 0)
		shown.rows = SIZE_MAX;
	else if (view->note)
		shown.rows--;
	struct page page = {.view = &shown, .before = before, .now = now, .out = out};
	put_head(&page);
	put_summary(&page);
	put_cores(&page);
	put_disks(&page);
	put_troubles(&page);
	put_processes(&page);
	if (view->note) {
		shown.rows = SIZE_MAX;
		put(&page, "%s", view->note);
	}
	if (page.error < 0)
		out->len = len;
	return page.error;
}
