/* What goes over a stream and in which order, with a call that keeps what it is given. */
#include "agent/delivery/stream.h"

#include <setjmp.h>
#include <sonde/v1/ingest.pb-c.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
	struct queue *queue;
	struct throttle throttle;
	struct hold hold;
	struct stream stream;
	char sent[256]; /* sequences of batches, "5 6|1 2|" */
};

static struct fixture *now;

int __wrap_call_send(struct call *call, const void *message, size_t len);
size_t __wrap_call_backlog(const struct call *call);

int __wrap_call_send(struct call *call, const void *data, size_t len)
{
	Sonde__V1__AgentMessage *message = sonde__v1__agent_message__unpack(NULL, len, data);
	assert_non_null(message);
	if (message->message_case == SONDE__V1__AGENT_MESSAGE__MESSAGE_BATCH) {
		for (size_t i = 0; i < message->batch->n_snapshots; i++) {
			size_t used = strlen(now->sent);
			(void)snprintf(now->sent + used, sizeof(now->sent) - used, "%s%llu", i > 0 ? " " : "",
				       (unsigned long long)message->batch->snapshots[i]->sequence);
		}
		strcat(now->sent, "|");
	}
	sonde__v1__agent_message__free_unpacked(message, NULL);
	return 0;
}

size_t __wrap_call_backlog(const struct call *call)
{
	return 0;
}

static void hear(struct fixture *f, const Sonde__V1__BackendMessage *message)
{
	uint8_t bytes[1024];
	assert_true(sonde__v1__backend_message__get_packed_size(message) <= sizeof(bytes));
	stream_on_message(&f->stream, bytes, sonde__v1__backend_message__pack(message, bytes));
	assert_int_equal(f->stream.error, 0);
}

static void hear_welcome(struct fixture *f)
{
	Sonde__V1__BackendMessage message = SONDE__V1__BACKEND_MESSAGE__INIT;
	Sonde__V1__Welcome welcome = SONDE__V1__WELCOME__INIT;
	message.message_case = SONDE__V1__BACKEND_MESSAGE__MESSAGE_WELCOME;
	message.welcome = &welcome;
	hear(f, &message);
}

static void hear_accepted(struct fixture *f, uint64_t first, uint64_t last)
{
	Sonde__V1__BackendMessage message = SONDE__V1__BACKEND_MESSAGE__INIT;
	Sonde__V1__Acknowledgement acknowledgement = SONDE__V1__ACKNOWLEDGEMENT__INIT;
	Sonde__V1__SequenceRange range = SONDE__V1__SEQUENCE_RANGE__INIT, *ranges[] = {&range};
	range.has_first = range.has_last = true;
	range.first = first;
	range.last = last;
	acknowledgement.n_accepted = 1;
	acknowledgement.accepted = ranges;
	message.message_case = SONDE__V1__BACKEND_MESSAGE__MESSAGE_ACKNOWLEDGEMENT;
	message.acknowledgement = &acknowledgement;
	hear(f, &message);
}

/* refused 0: nothing is. */
static void hear_hold(struct fixture *f, uint64_t wait_ms, uint64_t refused)
{
	Sonde__V1__BackendMessage message = SONDE__V1__BACKEND_MESSAGE__INIT;
	Sonde__V1__Hold hold = SONDE__V1__HOLD__INIT;
	hold.has_wait_ms = true;
	hold.wait_ms = wait_ms;
	hold.has_refused_sequence = refused > 0;
	hold.refused_sequence = refused;
	message.message_case = SONDE__V1__BACKEND_MESSAGE__MESSAGE_HOLD;
	message.hold = &hold;
	hear(f, &message);
}

static void push(struct fixture *f, uint64_t first, uint64_t last)
{
	for (uint64_t n = first; n <= last; n++) {
		uint8_t bytes[16];
		Sonde__V1__Snapshot snapshot = SONDE__V1__SNAPSHOT__INIT;
		snapshot.has_sequence = true;
		snapshot.sequence = n;
		assert_int_equal(queue_push(f->queue, n, bytes, sonde__v1__snapshot__pack(&snapshot, bytes)), 0);
	}
}

static void pumps(struct fixture *f, const char *expected)
{
	f->sent[0] = '\0';
	assert_int_equal(stream_pump(&f->stream), 0);
	assert_string_equal(f->sent, expected);
}

static int setup(void **state)
{
	static const struct sender_options options;
	static struct fixture f;
	f = (struct fixture){.queue = queue_new(100)};
	f.stream = (struct stream){.options = &options,
				   .queue = f.queue,
				   .throttle = &f.throttle,
				   .hold = &f.hold,
				   .call = (struct call *)&f};
	now = &f;
	*state = &f;
	assert_non_null(f.queue);
	assert_int_equal(stream_begin(&f.stream), 0);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	queue_free(f->queue);
	return 0;
}

static void live_goes_first(void **state)
{
	struct fixture *f = *state;
	push(f, 1, 5);
	pumps(f, "");
	hear_welcome(f);
	pumps(f, "5|1 2 3 4|");
	push(f, 6, 6);
	pumps(f, "6|");
}

static void a_hold_stops_the_backlog_alone(void **state)
{
	struct fixture *f = *state;
	push(f, 1, 5);
	hear_welcome(f);
	hear_hold(f, 60000, 0);
	pumps(f, "5|");
	push(f, 6, 7);
	pumps(f, "6 7|");
	f->hold.until_ns = 0; /* it is over */
	pumps(f, "1 2 3 4|");
	pumps(f, "");
}

static void what_is_refused_is_sent_again(void **state)
{
	struct fixture *f = *state;
	push(f, 1, 5);
	hear_welcome(f);
	pumps(f, "5|1 2 3 4|");
	hear_hold(f, 60000, 4);
	hear_accepted(f, 2, 2); /* it was on its way */
	push(f, 6, 6);
	pumps(f, "6|");
	f->hold.until_ns = 0;
	pumps(f, "1 3 4|");
	hear_accepted(f, 1, 6);
	hear_hold(f, 60000, 4); /* comes twice */
	f->hold.until_ns = 0;
	pumps(f, "");
	assert_int_equal(queue_stats(f->queue).length, 0);
}

/* A clock that is far behind, or a stream that stood still for long: what was live for us is late for the backend. */
static void what_is_live_may_be_refused(void **state)
{
	struct fixture *f = *state;
	push(f, 1, 3);
	hear_welcome(f);
	hear_hold(f, 60000, 0);
	pumps(f, "3|");
	push(f, 4, 5);
	pumps(f, "4 5|");
	hear_hold(f, 60000, 3);
	hear_hold(f, 60000, 5);
	push(f, 6, 6);
	pumps(f, "6|");
	f->hold.until_ns = 0;
	pumps(f, "1 2 3 4 5|");
}

static void what_was_never_sent_is_not_refused(void **state)
{
	struct fixture *f = *state;
	push(f, 1, 3);
	hear_hold(f, 60000, 3); /* before Welcome */
	hear_welcome(f);
	hear_hold(f, 60000, UINT64_MAX);
	push(f, 4, 4);
	pumps(f, "3 4|");
	f->hold.until_ns = 0;
	pumps(f, "1 2|");
	push(f, 5, 5);
	pumps(f, "5|");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(live_goes_first, setup, teardown),
		cmocka_unit_test_setup_teardown(a_hold_stops_the_backlog_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_refused_is_sent_again, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_live_may_be_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(what_was_never_sent_is_not_refused, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
