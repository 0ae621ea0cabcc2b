/* Losses are made by a filter on the socket that would receive. */
#include "tests/integration/bpf/tcp_loss.h"

#include "tests/integration/bpf/tcp_view.h"

#include <linux/filter.h>

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

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

void segments_sent_again_are_those_of_the_kernel(void **unused)
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

/* A connection of which one end hears nothing for half a second, and what was counted of it. */
static void connect_to_the_deaf(bool client_is_deaf, struct view *ret_view, struct snmp *ret_snmp)
{
	struct address to;
	pthread_t thread;
	int listening = listener(&to);
	struct pair pair = {.client = socket(tcp_family, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	struct later later = {.fd = client_is_deaf ? pair.client : listening, .ms = 500};
	assert_true(pair.client >= 0);
	struct snmp snmp = snmp_since(NULL);
	struct view view = view_now();
	drop_packets(later.fd, 1);
	assert_int_equal(pthread_create(&thread, NULL, let_through_later, &later), 0);
	assert_int_equal(connect(pair.client, &to.any, to.size), 0);
	pair.server = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
	assert_true(pair.server >= 0);
	pthread_join(thread, NULL);
	close(pair.client);
	close(pair.server);
	close(listening);
	usleep(50000);
	*ret_view = view_since(&view);
	*ret_snmp = snmp_since(&snmp);
}

/* The first SYN is lost; the second comes a second later. */
static void syns_agree(void)
{
	struct view view;
	struct snmp snmp;
	connect_to_the_deaf(false, &view, &snmp);
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
	struct view view;
	struct snmp snmp;
	connect_to_the_deaf(true, &view, &snmp);
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

void a_lost_syn_ack_is_sent_again(void **unused)
{
	until_it_agrees(syn_acks_agree);
	set_timestamps("0");
	until_it_agrees(syn_acks_agree);
	set_timestamps("1");
}

void a_lost_syn_is_in_the_set_up_time(void **unused)
{
	until_it_agrees(syns_agree);
}
