/* Against a real datagram socket: what a service manager would see. */
#include "agent/notify.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int listen_at(const char *name)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t len = strlen(name);
	memcpy(address.sun_path, name, len);
	if (name[0] == '@')
		address.sun_path[0] = '\0';
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	assert_true(fd >= 0);
	socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
	return fd;
}

static const char *receive(int fd)
{
	static char text[256];
	ssize_t n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void talks_to(const char *name)
{
	struct notify notify;
	int fd = listen_at(name);
	setenv("NOTIFY_SOCKET", name, 1);
	setenv("WATCHDOG_USEC", "3000000", 1);
	unsetenv("WATCHDOG_PID");
	assert_int_equal(notify_open(&notify), 0);
	assert_int_equal(notify.watchdog_ns, 3000000000);
	notify_send(&notify, "READY=1");
	assert_string_equal(receive(fd), "READY=1");
	notify_reloading(&notify);
	const char *text = receive(fd);
	assert_int_equal(strncmp(text, "RELOADING=1\nMONOTONIC_USEC=", 27), 0);
	assert_true(strtoull(text + 27, NULL, 10) > 0);
	close(fd);
	notify_send(&notify, "STOPPING=1"); /* nobody listens: no harm */
	notify_close(&notify);
	notify_send(&notify, "READY=1");
}

static void both_kinds_of_names(void **state)
{
	(void)state;
	char name[64];
	(void)snprintf(name, sizeof(name), "@sonde-test-notify-%d", (int)getpid());
	talks_to(name);
	(void)snprintf(name, sizeof(name), "/tmp/sonde-test-notify-%d", (int)getpid());
	talks_to(name);
	(void)unlink(name);
}

static void no_manager(void **state)
{
	(void)state;
	struct notify notify;
	unsetenv("NOTIFY_SOCKET");
	assert_int_equal(notify_open(&notify), 0);
	assert_int_equal(notify.fd, -1);
	assert_int_equal(notify.watchdog_ns, 0);
	notify_send(&notify, "READY=1");
	notify_close(&notify);
}

static void wrong_names(void **state)
{
	(void)state;
	char longest[200];
	memset(longest, 'x', sizeof(longest) - 1);
	longest[0] = '/';
	longest[sizeof(longest) - 1] = '\0';
	const char *const names[] = {"relative", "/", "@", "vsock:2:1", longest};
	struct notify notify;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		setenv("NOTIFY_SOCKET", names[i], 1);
		assert_int_equal(notify_open(&notify), -EINVAL);
		assert_int_equal(notify.fd, -1);
	}
	setenv("NOTIFY_SOCKET", "/nonexistent/socket", 1);
	assert_int_equal(notify_open(&notify), -ENOENT);
}

static void a_watchdog_for_somebody_else(void **state)
{
	(void)state;
	char name[64];
	struct notify notify;
	(void)snprintf(name, sizeof(name), "@sonde-test-watchdog-%d", (int)getpid());
	int fd = listen_at(name);
	setenv("NOTIFY_SOCKET", name, 1);
	setenv("WATCHDOG_USEC", "3000000", 1);
	setenv("WATCHDOG_PID", "1", 1);
	assert_int_equal(notify_open(&notify), 0);
	assert_int_equal(notify.watchdog_ns, 0);
	notify_close(&notify);
	unsetenv("WATCHDOG_PID");
	const char *const nonsense[] = {"", "-1", "3s", "99999999999999999999999"};
	for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++) {
		setenv("WATCHDOG_USEC", nonsense[i], 1);
		assert_int_equal(notify_open(&notify), 0);
		assert_int_equal(notify.watchdog_ns, 0);
		notify_close(&notify);
	}
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_kinds_of_names),
		cmocka_unit_test(no_manager),
		cmocka_unit_test(wrong_names),
		cmocka_unit_test(a_watchdog_for_somebody_else),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
