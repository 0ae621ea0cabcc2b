/* How the backend is reached: in plaintext, or over TLS and whom to trust then. TLS it is as soon as anything speaks
 * for it: the agent key names a CA ("KEY#sha256:HEX"), a CA file or a certificate of ours is given, or the backend is
 * on another host and plaintext was not allowed. Certificates are always verified: against the CA that the key names,
 * else the CA file, else the system's CAs. A CA that a key named is kept beside the spool once it was seen, for
 * backends that do not send it later. One thread. */
#pragma once

#include "common/tls/tls.h"

#include <stdbool.h>

#define TRANSPORT_KEPT_CA "backend-ca.pem"

struct transport_options {
	const char *token;   /* agent key, with or without the name of a CA behind it */
	const char *ca_file; /* these may be "" or NULL */
	const char *certificate, *certificate_key;
	const char *state_dir;
	bool plaintext_allowed; /* the backend is on this host, or it was said in words */
};

struct transport {
	char bearer[512]; /* the key alone */
	bool tls;
	bool pinned;
	uint8_t fingerprint[TLS_FINGERPRINT_BYTES];
};

/* Pure. 0, or -EPROTO for a token that is no agent key. */
int transport_choose(const struct transport_options *options, struct transport *ret)
	__attribute__((nonnull, warn_unused_result));

/* Reads the files. 0 with *ret NULL for plaintext; -EBADMSG or -ENOMEM with a line in error. */
int transport_context(const struct transport *transport, const struct transport_options *options,
		      struct tls_context **ret, char error[TLS_ERROR_SIZE])
	__attribute__((nonnull, warn_unused_result));

/* After the handshake: keeps the CA that the key named, if it is not kept already. 0 or negative errno. */
int transport_keep(const struct transport_options *options, const struct tls_stream *stream)
	__attribute__((nonnull, warn_unused_result));
