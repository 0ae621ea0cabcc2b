/* Escape sequences are ECMA-48 and the two of xterm that every terminal of today has: no terminfo is needed for them.
 */
#include "agent/top/terminal.h"

#include "common/buf.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define SCREEN_MAX ((size_t)8 << 20)
#define ENTER "\033[?1049h\033[?25l"
#define LEAVE "\033[?25h\033[?1049l"
#define HOME "\033[H"
#define END_OF_LINE "\033[K\n"
#define END_OF_SCREEN "\033[J"

static int write_all(int fd, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, text, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

int terminal_open(struct terminal *ret)
{
	*ret = (struct terminal){.in = STDIN_FILENO, .out = STDOUT_FILENO};
	ret->is_terminal = isatty(ret->in) && isatty(ret->out);
	if (!ret->is_terminal)
		return 0;
	if (tcgetattr(ret->in, &ret->before) < 0)
		return -errno;
	struct termios raw = ret->before;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO); /* signals stay: Ctrl-C ends it */
	raw.c_cc[VMIN] = 0;
	raw.c_cc[VTIME] = 0;
	if (tcsetattr(ret->in, TCSANOW, &raw) < 0)
		return -errno;
	int r = write_all(ret->out, ENTER, strlen(ENTER));
	if (r < 0)
		terminal_close(ret);
	return r;
}

void terminal_close(struct terminal *terminal)
{
	if (!terminal->is_terminal)
		return;
	terminal->is_terminal = false;
	/* Nothing can be done about a terminal that is gone. */
	int shown = write_all(terminal->out, LEAVE, strlen(LEAVE));
	int set = tcsetattr(terminal->in, TCSANOW, &terminal->before);
	(void)shown;
	(void)set;
}

void terminal_size(const struct terminal *terminal, size_t *ret_columns, size_t *ret_rows)
{
	struct winsize size;
	*ret_columns = 132;
	*ret_rows = 0;
	if (terminal->is_terminal && ioctl(terminal->out, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 &&
	    size.ws_row > 0) {
		*ret_columns = size.ws_col;
		*ret_rows = size.ws_row;
	}
}

int terminal_show(const struct terminal *terminal, const char *text, size_t len)
{
	if (!terminal->is_terminal)
		return write_all(terminal->out, text, len);
	BUF_CLEANUP struct buf screen = BUF_INIT(SCREEN_MAX);
	int r = buf_append_str(&screen, HOME);
	for (const char *p = text, *end = text + len; r == 0 && p < end;) {
		const char *newline = memchr(p, '\n', (size_t)(end - p));
		const char *stop = newline ? newline : end;
		r = buf_append(&screen, p, (size_t)(stop - p));
		/* The last line must not scroll the screen. */
		if (r == 0 && newline && newline + 1 < end)
			r = buf_append_str(&screen, END_OF_LINE);
		p = newline ? newline + 1 : end;
	}
	if (r == 0)
		r = buf_append_str(&screen, "\033[K" END_OF_SCREEN);
	return r < 0 ? r : write_all(terminal->out, (const char *)screen.data, screen.len);
}

int terminal_key(const struct terminal *terminal, int wait_ms)
{
	struct pollfd fd = {.fd = terminal->is_terminal ? terminal->in : -1, .events = POLLIN};
	char key;
	int n = poll(&fd, 1, wait_ms);
	if (n < 0)
		return -errno;
	if (n == 0)
		return 0;
	ssize_t got = read(terminal->in, &key, 1);
	if (got < 0)
		return -errno;
	return got == 1 ? (unsigned char)key : -EIO; /* the terminal hung up */
}
