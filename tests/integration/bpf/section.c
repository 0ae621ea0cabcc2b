#include "tests/integration/bpf/section.h"

#include "common/clock.h"

#include <net/if.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define ARENA_MAX ((size_t)16 << 20)

struct section section;

int section_set_up(void **unused)
{
	struct collector_state state = {.reason = ""};
	settings_default(&section.settings);
	section.settings.extras = section.extras;
	section.settings.probe_budget_ratio = 1;
	section.clock_shift_us = 0;
	if (section.collector->create(&section.context, &section.self, &state) == 0)
		return 0;
	print_message("%s: %s\n", state.reason, state.detail);
	return -1;
}

int section_tear_down(void **unused)
{
	section.collector->destroy(section.self);
	section.self = NULL;
	return 0;
}

void section_collect(ProtobufCMessage *message)
{
	struct collector_state state = {.code = SONDE__V1__STATE__CODE__CODE_UNSPECIFIED};
	struct tick tick = {
		.arena = section.arena, .boottime_us = clock_boottime_us() + section.clock_shift_us, .state = &state};
	arena_reset(section.arena);
	int r = section.collector->collect(section.self, &tick, message);
	if (r != 0 || state.code != SONDE__V1__STATE__CODE__CODE_UNSPECIFIED)
		fail_msg("%d: %s: %s", r, state.reason, state.detail);
}

int section_begin(const struct collector *collector)
{
	if (geteuid() != 0) {
		print_message("SKIP: loading BPF programs needs root\n");
		return 77;
	}
	section.collector = collector;
	assert_int_equal(root_open(&section.root, NULL), 0);
	section.arena = arena_new(ARENA_MAX);
	assert_non_null(section.arena);
	section.context =
		(struct collector_context){.root = &section.root, .live = true, .settings = &section.settings};
	return 0;
}

void section_end(void)
{
	arena_free(section.arena);
	root_close(&section.root);
}

void loopback_up(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = {.ifr_name = "lo"};
	assert_true(fd >= 0);
	assert_int_equal(ioctl(fd, SIOCGIFFLAGS, &request), 0);
	request.ifr_flags |= IFF_UP;
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &request), 0);
	close(fd);
}
