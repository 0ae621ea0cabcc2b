/* One loop: a snapshot at each whole interval, keys in between. Each snapshot is unpacked from the bytes that a backend
 * would get, so that what is seen here is what is sent. */
#include "agent/top/top.h"

#include "agent/scheduler.h"
#include "agent/top/terminal.h"
#include "agent/top/view.h"
#include "common/clock.h"

#include <errno.h>
#include <signal.h>

#define NS_PER_MS 1000000ull

static volatile sig_atomic_t ended;

static void on_signal(int number)
{
	(void)number;
	ended = 1;
}

struct state {
	const struct top *top;
	struct terminal terminal;
	Sonde__V1__Snapshot *before, *now;
	enum view_order order;
	bool paused;
};

static void free_snapshot(Sonde__V1__Snapshot *snapshot)
{
	if (snapshot)
		sonde__v1__snapshot__free_unpacked(snapshot, NULL);
}

static int take(struct state *s)
{
	uint64_t sequence;
	const uint8_t *data;
	size_t len;
	sampler_watch(s->top->sampler, ~(sampler_set)0, UINT64_MAX);
	int r = sampler_take(s->top->sampler, s->top->interval_ms, &sequence, &data, &len);
	if (r < 0)
		return r;
	Sonde__V1__Snapshot *snapshot = sonde__v1__snapshot__unpack(NULL, len, data);
	if (!snapshot)
		return -ENOMEM;
	free_snapshot(s->before);
	s->before = s->now;
	s->now = snapshot;
	return 0;
}

static int show(struct state *s)
{
	static const char *const notes[] = {
		[VIEW_BY_CPU] = "by CPU    c m i: order   space: pause   q: quit",
		[VIEW_BY_MEMORY] = "by memory    c m i: order   space: pause   q: quit",
		[VIEW_BY_IO] = "by I/O    c m i: order   space: pause   q: quit",
	};
	BUF_CLEANUP struct buf text = BUF_INIT(VIEW_TEXT_MAX);
	struct view view = {.order = s->order, .hostname = s->top->hostname};
	terminal_size(&s->terminal, &view.columns, &view.rows);
	if (s->terminal.is_terminal)
		view.note = s->paused ? "paused    space: go on   q: quit" : notes[s->order];
	int r = view_write(&view, s->before, s->now, &text);
	return r < 0 ? r : terminal_show(&s->terminal, (const char *)text.data, text.len);
}

/* True when there is something new to show. */
static bool on_key(struct state *s, int key)
{
	switch (key) {
	case 'c':
		s->order = VIEW_BY_CPU;
		return true;
	case 'm':
		s->order = VIEW_BY_MEMORY;
		return true;
	case 'i':
		s->order = VIEW_BY_IO;
		return true;
	case ' ':
		s->paused = !s->paused;
		return true;
	case 'q':
		ended = 1;
		return false;
	default:
		return false;
	}
}

static int wait_until(struct state *s, uint64_t due_ns)
{
	while (!ended) {
		uint64_t now_ns = clock_monotonic_ns();
		if (now_ns >= due_ns)
			return 0;
		int key = terminal_key(&s->terminal, (int)((due_ns - now_ns) / NS_PER_MS) + 1);
		if (key < 0 && key != -EINTR)
			return key;
		if (key > 0 && on_key(s, key)) {
			int r = show(s);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

static int loop(struct state *s)
{
	uint64_t interval_ns = s->top->interval_ms * NS_PER_MS;
	int r = take(s);
	/* The first page has rates: a short wait is better than a page of dashes. */
	uint64_t due_ns =
		clock_monotonic_ns() + (s->top->once || interval_ns < 250 * NS_PER_MS ? interval_ns : 250 * NS_PER_MS);
	while (r == 0 && !ended) {
		r = wait_until(s, due_ns);
		if (r < 0 || ended)
			break;
		due_ns = scheduler_next_ns(clock_monotonic_ns(), interval_ns);
		if (s->paused)
			continue;
		r = take(s);
		if (r == 0)
			r = show(s);
		if (s->top->once)
			break;
	}
	return r == -EPIPE ? 0 : r;
}

int top_run(const struct top *top)
{
	struct state s = {.top = top};
	const struct sigaction action = {.sa_handler = on_signal};
	ended = 0;
	if (sigaction(SIGINT, &action, NULL) < 0 || sigaction(SIGTERM, &action, NULL) < 0 ||
	    sigaction(SIGHUP, &action, NULL) < 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return -errno;
	int r = terminal_open(&s.terminal);
	if (r < 0)
		return r;
	if (top->once)
		terminal_close(&s.terminal); /* plain text, wherever it goes */
	r = loop(&s);
	terminal_close(&s.terminal);
	free_snapshot(s.before);
	free_snapshot(s.now);
	return r;
}
