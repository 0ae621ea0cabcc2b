/* confine [OPTION]... -- PROGRAM [ARGUMENT]...: runs a program as a host would that denies it something, for real.
 *
 *   --drop CAP_NAME      takes a capability out of the bounding set, so that even root has it no more
 *   --user UID           runs as that user, with no capability but those of --keep
 *   --keep CAP_NAME      gives that user a capability, by the ambient set
 *   --deny CALL          a seccomp filter answers EPERM: bpf, perf_event_open, syslog
 *   --refuse-program N   a supervisor refuses to let the BPF program of that name be loaded, as a security module can
 *   --hide PATH          something empty is mounted over it
 *   --read-only PATH     remounted read-only
 *   --pid-namespace      processes of its own, with a /proc of their own
 *   --hide-processes     a /proc that shows others' processes to nobody but who may trace them
 *
 * Needs root. The exit status is the program's. */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIST_MAX 8

struct list {
	const char *items[LIST_MAX];
	int n;
};

static struct list dropped, kept, denied, refused, hidden, read_only;
static long user = -1;
static int pid_namespace, hide_processes;

static const struct {
	const char *name;
	int number;
} calls[] = {{"bpf", SYS_bpf}, {"perf_event_open", SYS_perf_event_open}, {"syslog", SYS_syslog}};

static void add(struct list *list, const char *item)
{
	if (list->n == LIST_MAX)
		errx(125, "too many options of one kind");
	list->items[list->n++] = item;
}

static char **read_options(char **argv)
{
	static const struct {
		const char *name;
		struct list *list;
	} lists[] = {{"--drop", &dropped},	     {"--keep", &kept},	  {"--deny", &denied},
		     {"--refuse-program", &refused}, {"--hide", &hidden}, {"--read-only", &read_only}};
	for (argv++; *argv && strcmp(*argv, "--") != 0; argv++) {
		const char *option = *argv;
		if (strcmp(option, "--pid-namespace") == 0) {
			pid_namespace = 1;
			continue;
		}
		if (strcmp(option, "--hide-processes") == 0) {
			hide_processes = 1;
			continue;
		}
		if (!argv[1])
			errx(125, "%s wants a value", option);
		argv++;
		size_t i = 0;
		while (i < sizeof(lists) / sizeof(lists[0]) && strcmp(lists[i].name, option) != 0)
			i++;
		if (i < sizeof(lists) / sizeof(lists[0]))
			add(lists[i].list, *argv);
		else if (strcmp(option, "--user") == 0)
			user = strtol(*argv, NULL, 10);
		else
			errx(125, "unknown option %s", option);
	}
	if (!argv[0] || !argv[1])
		errx(125, "no program: put it behind --");
	return argv + 1;
}

static cap_value_t capability(const char *name)
{
	cap_value_t value;
	if (cap_from_name(name, &value) < 0)
		errx(125, "no capability %s", name);
	return value;
}

/* --- mounts ------------------------------------------------------------------------------------------------------- */

static void hide(const char *path)
{
	struct stat st;
	if (stat(path, &st) < 0) {
		if (errno == ENOENT)
			return;
		err(125, "%s", path);
	}
	int r = S_ISDIR(st.st_mode) ? mount("none", path, "tmpfs", 0, "size=4k,mode=755")
				    : mount("/dev/null", path, NULL, MS_BIND, NULL);
	if (r < 0)
		err(125, "hiding %s", path);
}

static void confine_mounts(void)
{
	if (hidden.n + read_only.n + pid_namespace + hide_processes == 0)
		return;
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		err(125, "a mount namespace");
	for (int i = 0; i < read_only.n; i++) {
		const char *path = read_only.items[i];
		if (mount(path, path, NULL, MS_BIND | MS_REC, NULL) < 0 ||
		    mount("none", path, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL) < 0)
			err(125, "%s read-only", path);
	}
	for (int i = 0; i < hidden.n; i++)
		hide(hidden.items[i]);
}

/* --- capabilities ------------------------------------------------------------------------------------------------- */

static void become(void)
{
	cap_t caps = cap_init();
	if (!caps)
		err(125, "capabilities");
	for (int i = 0; i < kept.n; i++) {
		cap_value_t value = capability(kept.items[i]);
		if (cap_set_flag(caps, CAP_PERMITTED, 1, &value, CAP_SET) < 0 ||
		    cap_set_flag(caps, CAP_INHERITABLE, 1, &value, CAP_SET) < 0)
			err(125, "capabilities");
	}
	if (prctl(PR_SET_KEEPCAPS, 1L, 0L, 0L, 0L) < 0 || setgroups(0, NULL) < 0 || setgid((gid_t)user) < 0 ||
	    setuid((uid_t)user) < 0 || cap_set_proc(caps) < 0)
		err(125, "user %ld", user);
	for (int i = 0; i < kept.n; i++) {
		if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability(kept.items[i]), 0L, 0L) < 0)
			err(125, "keeping %s", kept.items[i]);
	}
	cap_free(caps);
}

static void confine_capabilities(void)
{
	for (int i = 0; i < dropped.n; i++) {
		if (prctl(PR_CAPBSET_DROP, capability(dropped.items[i]), 0L, 0L, 0L) < 0)
			err(125, "dropping %s", dropped.items[i]);
	}
	if (user >= 0)
		become();
}

/* --- seccomp ------------------------------------------------------------------------------------------------------ */

static int call_number(const char *name)
{
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		if (strcmp(calls[i].name, name) == 0)
			return calls[i].number;
	}
	errx(125, "--deny does not know %s", name);
}

/* Every architecture's numbers but ours are let through: a test program has no reason to use them. Returns the
 * supervisor's descriptor, or -1 where there is nothing to supervise. */
static int confine_calls(void)
{
	struct sock_filter filter[2 * LIST_MAX + 8];
	unsigned short n = 0;
	filter[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (int i = 0; i < denied.n; i++) {
		filter[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
							   (uint32_t)call_number(denied.items[i]), 0, 1);
		filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
	}
	if (refused.n > 0) {
		filter[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_bpf, 0, 3);
		filter[n++] =
			(struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0]));
		filter[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, BPF_PROG_LOAD, 0, 1);
		filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
	}
	filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	const struct sock_fprog program = {.len = n, .filter = filter};
	if (denied.n + refused.n == 0)
		return -1;
	if (user >= 0 && prctl(PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L) < 0)
		err(125, "no_new_privs");
	int fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
			      refused.n > 0 ? SECCOMP_FILTER_FLAG_NEW_LISTENER : 0, &program);
	if (fd < 0)
		err(125, "seccomp");
	return refused.n > 0 ? fd : -1;
}

/* Of a program that is to be loaded: its name in the caller's union bpf_attr. */
static int names_refused(const struct seccomp_notif *request)
{
	char path[64], name[BPF_OBJ_NAME_LEN] = "";
	(void)snprintf(path, sizeof(path), "/proc/%u/mem", request->pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1
			     : pread(fd, name, sizeof(name) - 1,
				     (off_t)(request->data.args[1] + offsetof(union bpf_attr, prog_name)));
	if (fd >= 0)
		close(fd);
	for (int i = 0; got > 0 && i < refused.n; i++) {
		if (strncmp(refused.items[i], name, BPF_OBJ_NAME_LEN - 1) == 0)
			return 1;
	}
	return 0;
}

static void answer(int supervisor)
{
	struct seccomp_notif request = {0};
	if (ioctl(supervisor, SECCOMP_IOCTL_NOTIF_RECV, &request) < 0)
		return; /* its thread is gone */
	struct seccomp_notif_resp response = {.id = request.id};
	if (names_refused(&request))
		response.error = -EACCES;
	else
		response.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
	(void)ioctl(supervisor, SECCOMP_IOCTL_NOTIF_SEND, &response);
}

/* --- processes ---------------------------------------------------------------------------------------------------- */

static void send_fd(int socket, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = {0}, byte = 0;
	struct iovec part = {&byte, 1};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	if (fd >= 0) {
		message.msg_control = control;
		message.msg_controllen = sizeof(control);
		struct cmsghdr *head = CMSG_FIRSTHDR(&message);
		*head = (struct cmsghdr){
			.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
		memcpy(CMSG_DATA(head), &fd, sizeof(fd));
	}
	if (sendmsg(socket, &message, 0) < 0)
		err(125, "sendmsg");
}

static int receive_fd(int socket)
{
	char control[CMSG_SPACE(sizeof(int))] = {0}, byte;
	struct iovec part = {&byte, 1};
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	int fd = -1;
	if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) < 1)
		return -1;
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);
	if (head)
		memcpy(&fd, CMSG_DATA(head), sizeof(fd));
	return fd;
}

static void run(char **program, int socket)
{
	confine_mounts();
	if (pid_namespace + hide_processes > 0 &&
	    mount("none", "/proc", "proc", 0, hide_processes ? "hidepid=2" : NULL) < 0)
		err(125, "/proc");
	confine_capabilities();
	int supervisor = confine_calls();
	send_fd(socket, supervisor);
	if (supervisor >= 0)
		close(supervisor);
	close(socket);
	(void)execv(program[0], program);
	err(125, "%s", program[0]);
}

static pid_t child;

static void pass_on(int number)
{
	if (child > 0)
		kill(child, number);
}

int main(int argc, char **argv)
{
	char **program = read_options(argv);
	int sockets[2], status = 0;
	(void)argc;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) < 0)
		err(125, "socketpair");
	if (pid_namespace && unshare(CLONE_NEWPID) < 0)
		err(125, "a pid namespace");
	child = fork();
	if (child < 0)
		err(125, "fork");
	if (child == 0) {
		close(sockets[0]);
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0L, 0L, 0L);
		run(program, sockets[1]);
	}
	close(sockets[1]);
	signal(SIGTERM, pass_on);
	signal(SIGINT, pass_on);
	struct pollfd supervisor = {.fd = receive_fd(sockets[0]), .events = POLLIN};
	while (waitpid(child, &status, supervisor.fd < 0 ? 0 : WNOHANG) != child) {
		if (supervisor.fd >= 0 && poll(&supervisor, 1, 20) > 0 && supervisor.revents & POLLIN)
			answer(supervisor.fd);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
