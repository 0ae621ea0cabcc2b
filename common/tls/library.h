/* OpenSSL, loaded when the first context is made, for a program that most of the time needs none: linked to it, an
 * agent that speaks plaintext would carry its tables and relocations all the same. Which functions:
 * library_symbols.txt, out of which the build makes the table below and the names that lead into it (internal.h). */
#pragma once

#include "tls_library_symbols.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#define TLS_LIBRARY_MEMBER(name) __typeof__(&(name)) name;
struct tls_library {
	TLS_LIBRARY_SYMBOLS(TLS_LIBRARY_MEMBER)
};

/* Filled once, by the first tls_library_load(), and never changed. */
extern struct tls_library tls_library;

/* 0, or -ENOENT where it is not installed or lacks something. Thread-safe. */
int tls_library_load(void) __attribute__((warn_unused_result));
