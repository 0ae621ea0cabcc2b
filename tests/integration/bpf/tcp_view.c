/* Others are known by the namespaces they are in: this test has one to itself. */
#include "tests/integration/bpf/tcp_view.h"

#include "tests/integration/bpf/section.h"
#include "tests/integration/bpf/tcp_counters.h"

#include <sonde/v1/tcp.pb-c.h>

#include <string.h>
#include <unistd.h>

#define TRIES 8

int tcp_family = AF_INET6;
struct tcp_try tcp_try;

static const Sonde__V1__Tcp *read_section(void)
{
	static Sonde__V1__Tcp message;
	sonde__v1__tcp__init(&message);
	section_collect(&message.base);
	return &message;
}

static void view_histogram(const Sonde__V1__Histogram *from, struct hist *to)
{
	*to = (struct hist){.sum = from ? from->sum : 0};
	for (size_t i = 0; from && i < from->n_indexes; i++) {
		to->counts[from->indexes[i]] = from->counts[i];
		to->count += from->counts[i];
	}
}

struct view view_now(void)
{
	static struct view view;
	const Sonde__V1__Tcp *message = read_section();
	assert_int_equal(message->n_families, 2);
	const Sonde__V1__TcpFamily *m = message->families[tcp_family == AF_INET6];
	assert_string_equal(m->family, tcp_family == AF_INET6 ? "ipv6" : "ipv4");
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

struct view view_since(const struct view *before)
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

struct snmp snmp_since(const struct snmp *before)
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

static struct address loopback(void)
{
	struct address a = {.size = tcp_family == AF_INET6 ? sizeof(a.v6) : sizeof(a.v4)};
	if (tcp_family == AF_INET6)
		a.v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	else
		a.v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	return a;
}

int listener(struct address *ret)
{
	*ret = loopback();
	int fd = socket(tcp_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, &ret->any, ret->size), 0);
	assert_int_equal(listen(fd, 512), 0);
	assert_int_equal(getsockname(fd, &ret->any, &ret->size), 0);
	return fd;
}

struct pair connect_to(int listening, const struct address *to)
{
	struct pair pair = {.client = socket(tcp_family, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	assert_true(pair.client >= 0);
	assert_int_equal(connect(pair.client, &to->any, to->size), 0);
	pair.server = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
	assert_true(pair.server >= 0);
	return pair;
}

void reset_at_close(int fd)
{
	struct linger linger = {.l_onoff = 1};
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
	close(fd);
}

/* Whether what others did accounts for what was too much. */
static bool others_did(const struct others *before, const struct others *after)
{
	if (tcp_try.is_wrong || after->n[KEPT] <= before->n[KEPT])
		return false;
	for (size_t i = 0; i < KEPT; i++) {
		if (tcp_try.more[kept[i]] > after->n[i] - before->n[i])
			return false;
	}
	return true;
}

void until_it_agrees(void (*test)(void))
{
	int disturbed = 0;
	for (int i = 0; i < TRIES; i++) {
		memset(&tcp_try, 0, sizeof(tcp_try));
		struct others before = others_now();
		test();
		struct others after = others_now();
		if (!tcp_try.is_wrong && !tcp_try.is_more)
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
