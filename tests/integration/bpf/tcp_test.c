/* TCP's probe on the running kernel, through the collector's public interface, against what the test does itself,
 * against the counters of a network namespace of its own (/proc/thread-self/net/snmp) and against what the sockets say.
 */
#include "agent/ebpf/tcp.h"
#include "agent/extras.h"
#include "tests/integration/bpf/section.h"
#include "tests/integration/bpf/tcp_loss.h"
#include "tests/integration/bpf/tcp_view.h"

#include <linux/tcp.h>

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define IPPROTO_TCP_LEVEL 6
#define CONNECTIONS 200

static void connections_agree(void)
{
	struct address to;
	int listening = listener(&to);
	struct snmp snmp = snmp_since(NULL);
	struct view view = view_now();
	for (int i = 0; i < CONNECTIONS; i++) {
		struct pair pair = connect_to(listening, &to);
		close(pair.client);
		close(pair.server);
	}
	usleep(50000);
	close(listening);
	view = view_since(&view);
	snmp = snmp_since(&snmp);
	print_message("set-up: active %" PRIu64 " us, passive %" PRIu64 " us; closing rtt %" PRIu64 " us\n",
		      view.h[ACTIVE_SETUP].sum / CONNECTIONS, view.h[PASSIVE_SETUP].sum / CONNECTIONS,
		      view.h[CLOSING_RTT].sum / CONNECTIONS / 2);
	COUNTED(view, ACTIVE_OPENS, CONNECTIONS);
	COUNTED(view, ACTIVE_OPENS, snmp.active);
	COUNTED(view, ACTIVE_ESTABLISHED, CONNECTIONS);
	COUNTED(view, ACTIVE_FAILED, 0);
	COUNTED(view, PASSIVE_OPENS, snmp.passive);
	COUNTED(view, PASSIVE_OPENS, CONNECTIONS);
	COUNTED(view, PASSIVE_ESTABLISHED, CONNECTIONS);
	COUNTED(view, CLOSED, 2 * CONNECTIONS);
	COUNTED(view, ABORTED, snmp.estab_resets);
	COUNTED(view, ABORTED, 0);
	AT_LEAST(view.h[ACTIVE_SETUP].count + view.n[ACTIVE_UNTIMED], CONNECTIONS);
	AT_LEAST(view.h[PASSIVE_SETUP].count + view.n[PASSIVE_UNTIMED], CONNECTIONS);
	COUNTED(view, ACTIVE_UNTIMED, 0);
	AT_LEAST(view.h[CLOSING_RTT].count, 2 * CONNECTIONS);
	/* Between threads of one machine: microseconds, and not more than a few milliseconds. */
	AGREE(view.h[ACTIVE_SETUP].sum >= CONNECTIONS, true);
	AT_MOST(view.h[ACTIVE_SETUP].sum, 20000 * CONNECTIONS);
	AGREE(view.h[PASSIVE_SETUP].sum >= CONNECTIONS, true);
	AT_MOST(view.h[PASSIVE_SETUP].sum, 20000 * CONNECTIONS);
}

static void connections_are_counted_and_timed(void **unused)
{
	until_it_agrees(connections_agree);
}

static void refusals_agree(void)
{
	struct address to;
	close(listener(&to)); /* a port that nobody listens on */
	struct snmp snmp = snmp_since(NULL);
	struct view view = view_now();
	for (int i = 0; i < 50; i++) {
		int fd = socket(tcp_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_true(connect(fd, &to.any, to.size) < 0 && errno == ECONNREFUSED);
		close(fd);
	}
	view = view_since(&view);
	snmp = snmp_since(&snmp);
	COUNTED(view, ACTIVE_OPENS, 50);
	COUNTED(view, ACTIVE_FAILED, 50);
	AGREE(snmp.fails, 50);
	AGREE(snmp.out_resets, 50);
	COUNTED(view, RESETS_RECEIVED, 50);
	COUNTED(view, ACTIVE_ESTABLISHED, 0);
	/* Before 6.10 resets that answer for no socket raise no event. */
	if (view.n[RESETS_SENT] != 0)
		COUNTED(view, RESETS_SENT, 50);
	else
		print_message("resets without a socket are not seen on this kernel\n");
}

static void refused_connections_are_failures(void **unused)
{
	until_it_agrees(refusals_agree);
}

static void aborts_agree(void)
{
	struct address to;
	int listening = listener(&to);
	struct snmp snmp = snmp_since(NULL);
	struct view view = view_now();
	uint64_t rtt = 0;
	unsigned buckets[HISTOGRAM_BUCKETS] = {0};
	for (int i = 0; i < 30; i++) {
		struct pair pair = connect_to(listening, &to);
		int ends[2] = {pair.client, pair.server};
		assert_int_equal(write(pair.client, "x", 1), 1);
		char byte;
		assert_int_equal(read(pair.server, &byte, 1), 1);
		/* A reset changes no estimate: what the sockets say now is what they end with. */
		for (int k = 0; k < 2; k++) {
			struct tcp_info info = {.tcpi_state = 0};
			socklen_t size = sizeof(info);
			assert_int_equal(getsockopt(ends[k], IPPROTO_TCP_LEVEL, TCP_INFO, &info, &size), 0);
			rtt += info.tcpi_rtt;
			buckets[histogram_bucket(info.tcpi_rtt)]++;
		}
		reset_at_close(pair.client);
		close(pair.server);
	}
	close(listening);
	view = view_since(&view);
	snmp = snmp_since(&snmp);
	AGREE(snmp.out_resets, 30);
	COUNTED(view, RESETS_SENT, 30);
	COUNTED(view, RESETS_RECEIVED, 30);
	COUNTED(view, CLOSED, 60);
	COUNTED(view, ABORTED, snmp.estab_resets);
	COUNTED(view, ABORTED, 60);
	AT_LEAST(view.h[CLOSING_RTT].count, 60);
	AT_LEAST(view.h[CLOSING_RTT].sum, rtt);
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		AT_LEAST(view.h[CLOSING_RTT].counts[i], buckets[i]);
}

static void resets_are_counted_and_round_trips_are_those_of_the_sockets(void **unused)
{
	until_it_agrees(aborts_agree);
}

static uint64_t rtt_of(int fd)
{
	struct tcp_info info = {.tcpi_state = 0};
	socklen_t size = sizeof(info);
	assert_int_equal(getsockopt(fd, IPPROTO_TCP_LEVEL, TCP_INFO, &info, &size), 0);
	return info.tcpi_rtt;
}

/* Returns the mean of what both sockets said meanwhile, in us. */
static uint64_t exchange(const struct pair *pair, unsigned n)
{
	char byte = 'x';
	uint64_t sum = 0;
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(write(pair->client, &byte, 1), 1);
		assert_int_equal(read(pair->server, &byte, 1), 1);
		assert_int_equal(write(pair->server, &byte, 1), 1);
		assert_int_equal(read(pair->client, &byte, 1), 1);
		sum += rtt_of(pair->client) + rtt_of(pair->server);
	}
	return sum / n / 2;
}

static void round_trips_agree(void)
{
	struct address to;
	int listening = listener(&to);
	struct pair pair = connect_to(listening, &to);
	struct view view = view_now(); /* detached if it was not */
	(void)exchange(&pair, 2000);
	view = view_since(&view);
	AGREE(view.h[RTT].count, 0);
	section.settings.extras = (size_t)1 << EXTRA_TCP_RTT;
	view = view_now(); /* attaches */
	uint64_t mean = exchange(&pair, 4000);
	view = view_since(&view);
	section.settings.extras = 0;
	uint64_t count = view.h[RTT].count;
	print_message("%" PRIu64 " samples, mean %" PRIu64 " us; the sockets said %" PRIu64 " us\n", count,
		      view.h[RTT].sum / (count ? count : 1), mean);
	/* A request and an answer are two packets; one in 16 is looked at. */
	AGREE(count >= 4000 * 2 / 16 * 9 / 10, true);
	AT_MOST(count, 4000 * 3 / 16 * 3);
	AT_MOST(view.h[RTT].sum, count * 4 * (mean + 1));
	AGREE(view.h[RTT].sum >= count * (mean / 4), true);
	(void)view_now();
	view = view_now();
	(void)exchange(&pair, 2000);
	view = view_since(&view);
	AGREE(view.h[RTT].count, 0);
	close(pair.client);
	close(pair.server);
	close(listening);
}

static void round_trips_of_open_connections_on_request(void **unused)
{
	until_it_agrees(round_trips_agree);
}

static void rest_agrees(void)
{
	struct address to;
	int listening = listener(&to);
	struct view view = view_now();
	collector_tcp.rest(section.self);
	for (int i = 0; i < 100; i++) {
		struct pair pair = connect_to(listening, &to);
		reset_at_close(pair.client);
		close(pair.server);
	}
	view = view_since(&view); /* attaches again */
	COUNTED(view, ACTIVE_OPENS, 0);
	COUNTED(view, CLOSED, 0);
	view = view_now();
	reset_at_close(connect_to(listening, &to).client);
	view = view_since(&view);
	COUNTED(view, ACTIVE_OPENS, 1);
	COUNTED(view, RESETS_SENT, 1);
	close(listening);
}

static void nothing_is_counted_while_it_rests(void **unused)
{
	until_it_agrees(rest_agrees);
}

static void v4_agrees(void)
{
	tcp_family = AF_INET;
	connections_agree();
	aborts_agree();
	tcp_family = AF_INET6;
}

static void families_are_told_apart(void **unused)
{
	until_it_agrees(v4_agrees);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SECTION_TEST(connections_are_counted_and_timed),
		SECTION_TEST(refused_connections_are_failures),
		SECTION_TEST(resets_are_counted_and_round_trips_are_those_of_the_sockets),
		SECTION_TEST(segments_sent_again_are_those_of_the_kernel),
		SECTION_TEST(a_lost_syn_is_in_the_set_up_time),
		SECTION_TEST(a_lost_syn_ack_is_sent_again),
		SECTION_TEST(round_trips_of_open_connections_on_request),
		SECTION_TEST(nothing_is_counted_while_it_rests),
		SECTION_TEST(families_are_told_apart),
	};
	int failed = section_begin(&collector_tcp);
	if (failed)
		return failed;
	if (unshare(CLONE_NEWNET) < 0) {
		print_message("SKIP: no network namespaces: %s\n", strerror(errno));
		return 77;
	}
	loopback_up();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	section_end();
	return failed;
}
