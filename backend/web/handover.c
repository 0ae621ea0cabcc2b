/* Browsers can send a token with a WebSocket's handshake only in the list of subprotocols ("sonde.v1,
 * sonde.token.XYZ"). libwebsockets 4.1 drops the connection when that list has more than 127 bytes, as it has with any
 * token. So the connection is taken from the library and given back with a handshake that says the same in a form it
 * can read: the token as an Authorization header. */
#include "backend/web/server.h"

#include "backend/web/headers.h"
#include "common/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static bool only(const char *text, size_t len, const char *also)
{
	static const char alphanumeric[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
	for (size_t i = 0; i < len; i++) {
		if (!text[i] || (!strchr(alphanumeric, text[i]) && !strchr(also, text[i])))
			return false;
	}
	return len > 0;
}

/* The handshake's bytes; 0 if they do not fit or a header is not what it must be. */
static size_t write_handshake(struct lws *wsi, const char *path, const char *subprotocol, const char *token, size_t len,
			      char *ret, size_t size)
{
	char host[300], key[64], version[8];
	if (web_header(wsi, WSI_TOKEN_HOST, host, sizeof(host)) < 0 ||
	    web_header(wsi, WSI_TOKEN_KEY, key, sizeof(key)) < 0 ||
	    web_header(wsi, WSI_TOKEN_VERSION, version, sizeof(version)) < 0 || strpbrk(host, "\r\n") ||
	    !only(key, strlen(key), "+/=") || !only(version, strlen(version), "") || !only(token, len, "-_."))
		return 0;
	int n = snprintf(ret, size,
			 "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
			 "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: %s\r\n%s"
			 "Authorization: Bearer %.*s\r\n\r\n",
			 path, host, key, version, subprotocol, (int)len, token);
	return n > 0 && (size_t)n < size ? (size_t)n : 0;
}

/* A second descriptor of the connection, while the library's own one becomes a socket that it may close as it likes:
 * it shuts down before it closes, which would end the connection for both. */
static int take_socket(struct lws *wsi)
{
	int fd = lws_get_socket_fd(wsi), error;
	int blank = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (blank < 0)
		return -errno;
	int taken = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (taken < 0 || dup3(blank, fd, O_CLOEXEC) < 0) {
		error = errno;
		if (taken >= 0)
			close(taken);
		close(blank);
		return -error;
	}
	close(blank);
	return taken;
}

unsigned live_handover(struct lws *wsi, const char *path, const char *subprotocols, const char *token, size_t len)
{
	char handshake[AUTH_TOKEN_MAX + 1024];
	const char *subprotocol = "";
	if (headers_list_has(subprotocols, "sonde.v1"))
		subprotocol = "Sec-WebSocket-Protocol: sonde.v1\r\n";
	else if (headers_list_has(subprotocols, "sonde.json.v1"))
		subprotocol = "Sec-WebSocket-Protocol: sonde.json.v1\r\n";
	size_t n = len < AUTH_TOKEN_MAX
			   ? write_handshake(wsi, path, subprotocol, token, len, handshake, sizeof(handshake))
			   : 0;
	if (n == 0)
		return 400;
	int fd = take_socket(wsi);
	if (fd < 0) {
		log_warn("a WebSocket could not be accepted", LOG_ERR(fd));
		return 503;
	}
	/* On failure it has closed the descriptor. */
	if (!lws_adopt_socket_vhost_readbuf(lws_get_vhost(wsi), fd, handshake, n))
		log_warn("a WebSocket could not be accepted", LOG_STR("detail", "adopting its socket failed"));
	explicit_bzero(handshake, sizeof(handshake));
	return LIVE_HANDED_OVER;
}
