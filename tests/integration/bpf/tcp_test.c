/* TCP's probe on the running kernel, through the collector's public interface, against what the test does itself,
 * against the counters of a network namespace of its own (/proc/thread-self/net/snmp) and against what the sockets say.
 *
 * The probe sees all namespaces, and others may use TCP meanwhile: on a busy machine without a pause. So each test is
 * repeated, a few times, when its numbers do not agree. If they never do, they must have been too large each time,
 * while the counters of other namespaces moved, and by no more than those: what others did adds, and takes nothing
 * away. */
#include "agent/ebpf/tcp.h"
#include "agent/extras.h"
#include "common/histogram.h"
#include "tests/integration/bpf/section.h"
#include "tests/integration/bpf/tcp_counters.h"

#include <linux/filter.h>
#include <linux/tcp.h>
#include <sonde/v1/tcp.pb-c.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define TRIES 8
#define IPPROTO_TCP_LEVEL 6
#define CONNECTIONS 200

static int family = AF_INET6;

static const Sonde__V1__Tcp *read_section(void)
{
	static Sonde__V1__Tcp message;
	sonde__v1__tcp__init(&message);
	section_collect(&message.base);
	return &message;
}

struct hist {
	uint64_t sum, count, counts[HISTOGRAM_BUCKETS];
};

enum {
	ACTIVE_OPENS,
	ACTIVE_ESTABLISHED,
	ACTIVE_FAILED,
	ACTIVE_UNTIMED,
	PASSIVE_OPENS,
	PASSIVE_ESTABLISHED,
	PASSIVE_FAILED,
	PASSIVE_UNTIMED,
	CLOSED,
	ABORTED,
	RESETS_SENT,
	RESETS_RECEIVED,
	SEGMENTS,
	SYNS,
	SYN_ACKS,
	COUNTERS,
};
enum { ACTIVE_SETUP, PASSIVE_SETUP, CLOSING_RTT, RTT, HISTOGRAMS };

struct view {
	uint64_t n[COUNTERS];
	struct hist h[HISTOGRAMS];
};

static void view_histogram(const Sonde__V1__Histogram *from, struct hist *to)
{
	*to = (struct hist){.sum = from ? from->sum : 0};
	for (size_t i = 0; from && i < from->n_indexes; i++) {
		to->counts[from->indexes[i]] = from->counts[i];
		to->count += from->counts[i];
	}
}

static struct view view_now(void)
{
	static struct view view;
	const Sonde__V1__Tcp *message = read_section();
	assert_int_equal(message->n_families, 2);
	const Sonde__V1__TcpFamily *m = message->families[family == AF_INET6];
	assert_string_equal(m->family, family == AF_INET6 ? "ipv6" : "ipv4");
	const uint64_t n[COUNTERS] = {m->active_opens,
				      m->active_established,
				      m->active_failed,
				      m->active_untimed,
				      m->passive_opens,
				      m->passive_established,
				      m->passive_failed,
				      m->passive_untimed,
				      m->closed,
				      m->aborted,
				      m->resets_sent,
				      m->resets_received,
				      m->retransmitted_segments,
				      m->retransmitted_syns,
				      m->retransmitted_syn_acks};
	memcpy(view.n, n, sizeof(n));
	view_histogram(m->active_setup_us, &view.h[ACTIVE_SETUP]);
	view_histogram(m->passive_setup_us, &view.h[PASSIVE_SETUP]);
	view_histogram(m->closing_rtt_us, &view.h[CLOSING_RTT]);
	view_histogram(m->rtt_us, &view.h[RTT]);
	return view;
}

static struct view view_since(const struct view *before)
{
	struct view view = view_now();
	for (int i = 0; i < COUNTERS; i++)
		view.n[i] -= before->n[i];
	for (int i = 0; i < HISTOGRAMS; i++) {
		view.h[i].sum -= before->h[i].sum;
		view.h[i].count -= before->h[i].count;
		for (unsigned k = 0; k < HISTOGRAM_BUCKETS; k++)
			view.h[i].counts[k] -= before->h[i].counts[k];
	}
	return view;
}

/* Counters of ours that the kernel keeps too, by namespace; and segments received, which tell whether anything went on
 * at all. */
enum { KEPT = 6 };
static const int kept[KEPT] = {ACTIVE_OPENS, PASSIVE_OPENS, ACTIVE_FAILED, ABORTED, RESETS_SENT, SEGMENTS};
static const char *const kept_names[KEPT + 1] = {"ActiveOpens", "PassiveOpens", "AttemptFails", "EstabResets",
						 "OutRsts",	"RetransSegs",	"InSegs"};

struct others {
	uint64_t n[KEPT + 1];
};

static struct others others_now(void)
{
	struct others others;
	tcp_counters_of_others(kept_names, KEPT + 1, others.n);
	return others;
}

struct snmp {
	uint64_t active, passive, fails, estab_resets, retrans, out_resets, syn_retrans;
};

static struct snmp snmp_since(const struct snmp *before)
{
	struct snmp now = {
		.active = tcp_counter("snmp", "Tcp", "ActiveOpens"),
		.passive = tcp_counter("snmp", "Tcp", "PassiveOpens"),
		.fails = tcp_counter("snmp", "Tcp", "AttemptFails"),
		.estab_resets = tcp_counter("snmp", "Tcp", "EstabResets"),
		.retrans = tcp_counter("snmp", "Tcp", "RetransSegs"),
		.out_resets = tcp_counter("snmp", "Tcp", "OutRsts"),
		.syn_retrans = tcp_counter("netstat", "TcpExt", "TCPSynRetrans"),
	};
	if (before) {
		now.active -= before->active;
		now.passive -= before->passive;
		now.fails -= before->fails;
		now.estab_resets -= before->estab_resets;
		now.retrans -= before->retrans;
		now.out_resets -= before->out_resets;
		now.syn_retrans -= before->syn_retrans;
	}
	return now;
}

struct address {
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	};
	socklen_t size;
};

static struct address loopback(void)
{
	struct address a = {.size = family == AF_INET6 ? sizeof(a.v6) : sizeof(a.v4)};
	if (family == AF_INET6)
		a.v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	else
		a.v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	return a;
}

static int listener(struct address *ret)
{
	*ret = loopback();
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, &ret->any, ret->size), 0);
	assert_int_equal(listen(fd, 512), 0);
	assert_int_equal(getsockname(fd, &ret->any, &ret->size), 0);
	return fd;
}

struct pair {
	int client, server;
};

static struct pair connect_to(int listening, const struct address *to)
{
	struct pair pair = {.client = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	assert_true(pair.client >= 0);
	assert_int_equal(connect(pair.client, &to->any, to->size), 0);
	pair.server = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
	assert_true(pair.server >= 0);
	return pair;
}

static void reset_at_close(int fd)
{
	struct linger linger = {.l_onoff = 1};
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
	close(fd);
}

/* How much more than its own a try counted: by counters that the kernel keeps too, and of all else whether. */
static struct {
	uint64_t more[COUNTERS];
	bool is_more, is_wrong;
} try;

/* Whether what others did accounts for what was too much. */
static bool others_did(const struct others *before, const struct others *after)
{
	if (try.is_wrong || after->n[KEPT] <= before->n[KEPT])
		return false;
	for (size_t i = 0; i < KEPT; i++) {
		if (try.more[kept[i]] > after->n[i] - before->n[i])
			return false;
	}
	return true;
}

static void until_it_agrees(void (*test)(void))
{
	int disturbed = 0;
	for (int i = 0; i < TRIES; i++) {
		memset(&try, 0, sizeof(try));
		struct others before = others_now();
		test();
		struct others after = others_now();
		if (!try.is_wrong && !try.is_more)
			return;
		disturbed += others_did(&before, &after);
		usleep(250000); /* who disturbed may have gone */
	}
	if (disturbed < TRIES)
		fail_msg("did not agree in any of %d runs, and others account for %d", TRIES, disturbed);
	print_message("NOTE: others used TCP in each of %d runs: it counted no less than what was done, and no more "
		      "than they account for\n",
		      TRIES);
}

#define SAY(a, b)                                                                                                      \
	print_message("line %d: %s %" PRIu64 ", %s %" PRIu64 "\n", __LINE__, #a, (uint64_t)(a), #b, (uint64_t)(b))
/* What nobody else has a part in. */
#define AGREE(a, b)                                                                                                    \
	do {                                                                                                           \
		if ((uint64_t)(a) != (uint64_t)(b)) {                                                                  \
			SAY(a, b);                                                                                     \
			try.is_wrong = true;                                                                           \
		}                                                                                                      \
	} while (0)
/* What others add to. */
#define AT_LEAST(a, b)                                                                                                 \
	do {                                                                                                           \
		if ((uint64_t)(a) != (uint64_t)(b)) {                                                                  \
			SAY(a, b);                                                                                     \
			*((uint64_t)(a) < (uint64_t)(b) ? &try.is_wrong : &try.is_more) = true;                        \
		}                                                                                                      \
	} while (0)
#define AT_MOST(a, b)                                                                                                  \
	do {                                                                                                           \
		if ((uint64_t)(a) > (uint64_t)(b)) {                                                                   \
			SAY(a, b);                                                                                     \
			try.is_more = true;                                                                            \
		}                                                                                                      \
	} while (0)
#define COUNTED(view, counter, number)                                                                                 \
	do {                                                                                                           \
		uint64_t counted = (view).n[counter], wanted = (number);                                               \
		AT_LEAST(counted, wanted);                                                                             \
		if (counted != wanted)                                                                                 \
			print_message("  of %s\n", #counter);                                                          \
		if (counted > wanted)                                                                                  \
			try.more[counter] = counted - wanted;                                                          \
	} while (0)

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
		int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
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

/* Drops a part of what a socket receives, before TCP sees it: one in `one_in` by chance, all with 1. */
static void drop_packets(int fd, unsigned one_in)
{
	struct sock_filter code[] = {
		{BPF_LD | BPF_W | BPF_ABS, 0, 0, (uint32_t)(SKF_AD_OFF + SKF_AD_RANDOM)},
		{BPF_ALU | BPF_AND | BPF_K, 0, 0, one_in - 1},
		{BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0},
		{BPF_RET | BPF_K, 0, 0, 0},
		{BPF_RET | BPF_K, 0, 0, 0xffffffffu},
	};
	struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)), 0);
}

static void *drain(void *arg)
{
	static char buffer[65536];
	while (read(*(int *)arg, buffer, sizeof(buffer)) > 0)
		continue;
	return NULL;
}

static void retransmissions_agree(void)
{
	struct address to;
	static char block[65536];
	pthread_t thread;
	int listening = listener(&to);
	struct snmp snmp = snmp_since(NULL);
	struct view view = view_now();
	struct pair pair = connect_to(listening, &to);
	drop_packets(pair.server, 16);
	assert_int_equal(pthread_create(&thread, NULL, drain, &pair.server), 0);
	for (int i = 0; i < 400; i++)
		assert_int_equal(send(pair.client, block, sizeof(block), MSG_NOSIGNAL), sizeof(block));
	int off = 0;
	assert_int_equal(setsockopt(pair.server, SOL_SOCKET, SO_DETACH_FILTER, &off, sizeof(off)), 0);
	shutdown(pair.client, SHUT_WR);
	pthread_join(thread, NULL);
	close(pair.server);
	close(pair.client);
	close(listening);
	usleep(50000);
	view = view_since(&view);
	snmp = snmp_since(&snmp);
	print_message("%" PRIu64 " segments sent again, RetransSegs %" PRIu64 "\n", view.n[SEGMENTS], snmp.retrans);
	COUNTED(view, SEGMENTS, snmp.retrans);
	AGREE(view.n[SEGMENTS] >= 5, true);
	COUNTED(view, SYNS, 0);
	COUNTED(view, SYN_ACKS, 0);
}

static void segments_sent_again_are_those_of_the_kernel(void **unused)
{
	until_it_agrees(retransmissions_agree);
}

struct later {
	int fd;
	unsigned ms;
};

static void *let_through_later(void *arg)
{
	const struct later *later = arg;
	int off = 0;
	usleep(later->ms * 1000);
	(void)setsockopt(later->fd, SOL_SOCKET, SO_DETACH_FILTER, &off, sizeof(off));
	return NULL;
}

/* The first SYN is lost; the second comes a second later. */
static void syns_agree(void)
{
	struct address to;
	pthread_t thread;
	int listening = listener(&to);
	struct later later = {.fd = listening, .ms = 500};
	struct snmp snmp = snmp_since(NULL);
	struct view view = view_now();
	drop_packets(listening, 1);
	assert_int_equal(pthread_create(&thread, NULL, let_through_later, &later), 0);
	struct pair pair = connect_to(listening, &to);
	pthread_join(thread, NULL);
	close(pair.client);
	close(pair.server);
	close(listening);
	usleep(50000);
	view = view_since(&view);
	snmp = snmp_since(&snmp);
	AGREE(snmp.syn_retrans, 1);
	COUNTED(view, SYNS, 1);
	COUNTED(view, SEGMENTS, snmp.retrans);
	AT_LEAST(view.h[ACTIVE_SETUP].count, 1);
	print_message("set up in %" PRIu64 " us\n", view.h[ACTIVE_SETUP].sum);
	AGREE(view.h[ACTIVE_SETUP].sum >= 900000, true);
	AT_MOST(view.h[ACTIVE_SETUP].sum, 3000000);
}

static bool timestamps = true;

/* The first SYN-ACK is lost: the server sends it again by itself, and once more to the SYN that comes again. */
static void syn_acks_agree(void)
{
	struct address to;
	pthread_t thread;
	int listening = listener(&to);
	struct pair pair = {.client = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	struct later later = {.fd = pair.client, .ms = 500};
	assert_true(pair.client >= 0);
	struct snmp snmp = snmp_since(NULL);
	struct view view = view_now();
	drop_packets(pair.client, 1);
	assert_int_equal(pthread_create(&thread, NULL, let_through_later, &later), 0);
	assert_int_equal(connect(pair.client, &to.any, to.size), 0);
	pair.server = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
	pthread_join(thread, NULL);
	close(pair.client);
	close(pair.server);
	close(listening);
	usleep(50000);
	view = view_since(&view);
	snmp = snmp_since(&snmp);
	AGREE(view.n[SYN_ACKS] >= 1, true);
	AT_LEAST(view.n[SYNS] + view.n[SYN_ACKS], snmp.syn_retrans);
	COUNTED(view, SEGMENTS, snmp.retrans);
	COUNTED(view, PASSIVE_ESTABLISHED, 1);
	/* Which of the SYN-ACKs was answered only their timestamps tell. */
	COUNTED(view, PASSIVE_UNTIMED, !timestamps);
	AT_LEAST(view.h[PASSIVE_SETUP].count, timestamps);
	AT_MOST(view.h[PASSIVE_SETUP].sum, 500000);
}

static void set_timestamps(const char *value)
{
	int fd = open("/proc/sys/net/ipv4/tcp_timestamps", O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, value, 1), 1); /* of this namespace */
	close(fd);
	timestamps = value[0] != '0';
}

static void a_lost_syn_ack_is_sent_again(void **unused)
{
	until_it_agrees(syn_acks_agree);
	set_timestamps("0");
	until_it_agrees(syn_acks_agree);
	set_timestamps("1");
}

static void a_lost_syn_is_in_the_set_up_time(void **unused)
{
	until_it_agrees(syns_agree);
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
	family = AF_INET;
	connections_agree();
	aborts_agree();
	family = AF_INET6;
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
