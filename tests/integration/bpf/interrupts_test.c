/* The probe of interrupts on the running kernel, through the collector's public interface, against /proc/softirqs and
 * /proc/interrupts. SONDE_TEST_EXACT=1 demands that no event is missing: some kernels raise no tracepoint for a few
 * (the 6.18 this was written on, when the interrupt meets certain tasks), so that 3% may be missing otherwise. */
#include "agent/ebpf/interrupts.h"
#include "common/clock.h"
#include "tests/integration/bpf/section.h"

#include <sonde/v1/interrupts.pb-c.h>

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define VECTORS 10

static const char *const vectors[VECTORS] = {"HI",	 "TIMER",   "NET_TX", "NET_RX",	 "BLOCK",
					     "IRQ_POLL", "TASKLET", "SCHED",  "HRTIMER", "RCU"};
enum { NET_RX = 3 };

static Sonde__V1__Interrupts *read_section(void)
{
	static Sonde__V1__Interrupts message;
	sonde__v1__interrupts__init(&message);
	section_collect(&message.base);
	return &message;
}

/* The sum over CPUs of the line that begins with `name` and a colon. */
static uint64_t sum_of(const char *path, const char *name)
{
	static char text[1 << 20];
	size_t len = 0, n = strlen(name);
	uint64_t sum = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	for (ssize_t got; (got = read(fd, text + len, sizeof(text) - 1 - len)) > 0;)
		len += (size_t)got;
	close(fd);
	text[len] = '\0';
	for (char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
		line += strspn(line, " ");
		if (strncmp(line, name, n) != 0 || line[n] != ':')
			continue;
		for (char *p = line + n + 1;;) {
			p += strspn(p, " ");
			if (!isdigit((unsigned char)*p))
				return sum;
			sum += strtoull(p, &p, 10);
		}
	}
	return sum;
}

struct counts {
	uint64_t runs[VECTORS], ns[VECTORS];
	uint64_t timer_runs, timer_ns;
};

static struct counts proc_counts(void)
{
	struct counts counts = {.timer_runs = sum_of("/proc/interrupts", "LOC")};
	for (unsigned i = 0; i < VECTORS; i++)
		counts.runs[i] = sum_of("/proc/softirqs", vectors[i]);
	return counts;
}

static struct counts our_counts(void)
{
	struct counts counts = {.timer_runs = 0};
	const Sonde__V1__Interrupts *message = read_section();
	assert_int_equal(message->n_softirqs, VECTORS);
	for (unsigned i = 0; i < VECTORS; i++) {
		assert_int_equal(strncasecmp(message->softirqs[i]->softirq, vectors[i], 4), 0);
		counts.runs[i] = message->softirqs[i]->runs;
		counts.ns[i] = message->softirqs[i]->time_ns;
	}
	counts.timer_runs = message->local_timer_runs;
	counts.timer_ns = message->local_timer_ns;
	return counts;
}

/* Each packet over the loopback device is a net_rx softirq. */
static void send_packets(unsigned n)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(to);
	char byte = 'x';
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&to, size), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&to, &size), 0);
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(sendto(fd, &byte, 1, 0, (struct sockaddr *)&to, size), 1);
		assert_int_equal(recv(fd, &byte, 1, 0), 1);
	}
	close(fd);
}

static void assert_between(const char *what, uint64_t inner, uint64_t ours, uint64_t outer)
{
	bool exact = getenv("SONDE_TEST_EXACT") != NULL;
	print_message("%s: %" PRIu64 " <= %" PRIu64 " <= %" PRIu64 "\n", what, inner, ours, outer);
	assert_true(ours <= outer);
	assert_true(exact ? ours >= inner : ours * 100 + 300 >= inner * 97);
}

static void softirqs_are_those_of_proc(void **unused)
{
	(void)our_counts();
	struct counts outer = proc_counts(), ours = our_counts(), inner = proc_counts();
	uint64_t begin = clock_monotonic_ns();
	send_packets(20000);
	usleep(200000);
	struct counts inner_end = proc_counts(), ours_end = our_counts(), outer_end = proc_counts();
	uint64_t elapsed = clock_monotonic_ns() - begin, total_ns = 0;
	for (unsigned i = 0; i < VECTORS; i++) {
		/* What runs while /proc is read is in between. */
		assert_between(vectors[i], inner_end.runs[i] - inner.runs[i], ours_end.runs[i] - ours.runs[i],
			       outer_end.runs[i] - outer.runs[i] + 2);
		total_ns += ours_end.ns[i] - ours.ns[i];
	}
	uint64_t runs = ours_end.runs[NET_RX] - ours.runs[NET_RX], ns = ours_end.ns[NET_RX] - ours.ns[NET_RX];
	print_message("net_rx %" PRIu64 " ns each; softirqs %.1f ms of %.1f ms\n", ns / runs, (double)total_ns / 1e6,
		      (double)elapsed / 1e6);
	assert_true(runs >= 19000);
	assert_in_range(ns / runs, 50, 1000000);
	assert_true(total_ns <= elapsed * (uint64_t)sysconf(_SC_NPROCESSORS_ONLN));
}

static void the_local_timer_is_that_of_proc(void **unused)
{
	(void)our_counts();
	const Sonde__V1__Interrupts *message = read_section();
	if (!message->has_local_timer_runs) {
		print_message("this architecture's timer is an interrupt with a number\n");
		return;
	}
	struct counts outer = proc_counts(), ours = our_counts(), inner = proc_counts();
	for (uint64_t until = clock_monotonic_ns() + 700000000; clock_monotonic_ns() < until;)
		usleep(500);
	struct counts inner_end = proc_counts(), ours_end = our_counts(), outer_end = proc_counts();
	assert_between("local timer", inner_end.timer_runs - inner.timer_runs, ours_end.timer_runs - ours.timer_runs,
		       outer_end.timer_runs - outer.timer_runs + 2);
	assert_true(ours_end.timer_runs - ours.timer_runs >= 100);
	assert_true(ours_end.timer_ns > ours.timer_ns);
}

/* Any device will do: what a disk or a serial line did meanwhile. */
static void handlers_are_those_of_proc(void **unused)
{
	struct {
		uint32_t irq;
		uint64_t outer, ours;
	} before[64];
	size_t n = 0;
	char path[] = "/var/tmp/sonde_interrupts_XXXXXX", number[16];
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	unlink(path);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(pwrite(fd, "x", 1, i * 4096), 1);
		assert_int_equal(fsync(fd), 0);
	}
	usleep(100000);
	const Sonde__V1__Interrupts *message = read_section();
	for (; n < message->n_handlers && n < 64; n++) {
		before[n].irq = message->handlers[n]->irq;
		before[n].ours = message->handlers[n]->runs;
		print_message("irq %u %s: %" PRIu64 " runs, %" PRIu64 " ns each\n", before[n].irq,
			      message->handlers[n]->handlers ? message->handlers[n]->handlers : "(no name)",
			      before[n].ours, message->handlers[n]->time_ns / before[n].ours);
	}
	if (n == 0) {
		print_message("no device interrupted anybody\n");
		close(fd);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		(void)snprintf(number, sizeof(number), "%u", before[i].irq);
		before[i].outer = sum_of("/proc/interrupts", number);
	}
	message = read_section();
	for (size_t i = 0; i < n; i++)
		before[i].ours = message->handlers[i]->runs;
	for (int i = 0; i < 50; i++) {
		assert_int_equal(pwrite(fd, "y", 1, i * 4096), 1);
		assert_int_equal(fsync(fd), 0);
	}
	close(fd);
	usleep(50000);
	message = read_section();
	for (size_t i = 0; i < n; i++) {
		/* Of arm64's interrupts between CPUs it gives no numbers. */
		if (before[i].outer == 0)
			continue;
		(void)snprintf(number, sizeof(number), "%u", before[i].irq);
		uint64_t outer = sum_of("/proc/interrupts", number) - before[i].outer, ours = 0;
		if (before[i].outer == 0)
			continue; /* arm64's messages between CPUs are not listed by number */
		for (size_t k = 0; k < message->n_handlers; k++) {
			if (message->handlers[k]->irq == before[i].irq)
				ours = message->handlers[k]->runs - before[i].ours;
		}
		/* A line that devices share has a run for each of them. */
		assert_between(number, 0, ours, outer * 8);
		assert_true(ours * 100 + 300 >= outer * 90 || outer < 20);
	}
}

static void nothing_is_counted_while_it_rests(void **unused)
{
	struct counts before = our_counts();
	collector_interrupts.rest(section.self);
	send_packets(20000);
	struct counts after = our_counts();
	print_message("%" PRIu64 " counted of 20000\n", after.runs[NET_RX] - before.runs[NET_RX]);
	assert_true(after.runs[NET_RX] - before.runs[NET_RX] < 5000);
	send_packets(20000);
	struct counts again = our_counts();
	assert_true(again.runs[NET_RX] - after.runs[NET_RX] >= 19000);
	/* No softirq is as long as the rest was. */
	assert_true((again.ns[NET_RX] - after.ns[NET_RX]) / (again.runs[NET_RX] - after.runs[NET_RX]) < 1000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SECTION_TEST(softirqs_are_those_of_proc),
		SECTION_TEST(the_local_timer_is_that_of_proc),
		SECTION_TEST(handlers_are_those_of_proc),
		SECTION_TEST(nothing_is_counted_while_it_rests),
	};
	int failed = section_begin(&collector_interrupts);
	if (failed)
		return failed;
	loopback_up();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	section_end();
	return failed;
}
