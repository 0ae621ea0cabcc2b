#include "agent/delivery/transport.h"

#include "agent/host/key_file.h"
#include "common/whole_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PEM_MAX 8192

static const char *or_null(const char *text)
{
	return text && text[0] != '\0' ? text : NULL;
}

int transport_choose(const struct transport_options *options, struct transport *ret)
{
	struct transport t = {0};
	int r = key_file_split(options->token, t.bearer, sizeof(t.bearer), t.fingerprint);
	if (r < 0)
		return r;
	t.pinned = r > 0;
	t.tls = t.pinned || or_null(options->ca_file) || or_null(options->certificate) || !options->plaintext_allowed;
	*ret = t;
	return 0;
}

/* False when it would be too long: then nothing is kept there. */
static bool kept_path(const struct transport_options *options, char out[PATH_MAX])
{
	if (!or_null(options->state_dir))
		return false;
	int n = snprintf(out, PATH_MAX, "%s/%s", options->state_dir, TRANSPORT_KEPT_CA);
	return n > 0 && n < PATH_MAX;
}

int transport_context(const struct transport *transport, const struct transport_options *options,
		      struct tls_context **ret, char error[TLS_ERROR_SIZE])
{
	char kept[PATH_MAX];
	struct tls_client_options tls = {
		.ca_file = or_null(options->ca_file),
		.fingerprint = transport->pinned ? transport->fingerprint : NULL,
		.certificate = or_null(options->certificate),
		.key = or_null(options->certificate_key),
	};
	*ret = NULL;
	if (!transport->tls)
		return 0;
	if (transport->pinned && !tls.ca_file && kept_path(options, kept))
		tls.ca_file = kept;
	return tls_context_client(&tls, ret, error);
}

static bool holds(const char *path, const struct buf *wanted)
{
	uint8_t bytes[PEM_MAX];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ssize_t n = read(fd, bytes, sizeof(bytes));
	close(fd);
	return n == (ssize_t)wanted->len && memcmp(bytes, wanted->data, wanted->len) == 0;
}

int transport_keep(const struct transport_options *options, const struct tls_stream *stream)
{
	BUF_CLEANUP struct buf pem = BUF_INIT(PEM_MAX);
	char path[PATH_MAX];
	int r = tls_stream_pinned(stream, &pem);
	if (r == -ENOENT || !kept_path(options, path) || (r == 0 && holds(path, &pem)))
		return 0;
	return r < 0 ? r : whole_file_write(path, pem.data, pem.len, 0644);
}
