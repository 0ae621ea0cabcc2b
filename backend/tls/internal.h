/* What own_files.c (when) and own_make.c (how) share. */
#pragma once

#include "backend/tls/own.h"

#include <openssl/evp.h>
#include <openssl/x509.h>

struct own_pair {
	EVP_PKEY *key;
	X509 *certificate;
};

/* Accepts a zeroed pair, and leaves one. */
void own_pair_free(struct own_pair *pair);
/* 0 or -ENOMEM. */
int own_make_ca(const char *host, uint64_t now_s, struct own_pair *ret) __attribute__((warn_unused_result));
int own_make_server(const struct own_names *names, const struct own_pair *ca, uint64_t now_s, struct own_pair *ret)
	__attribute__((warn_unused_result));
