/* Hex, UUIDs and random bytes. Thread-safe. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Text form with its terminator. */
#define UUID_TEXT_SIZE 37

/* Lower-case hex of len bytes into out, which has room for 2 * len + 1. */
void encoding_hex(const uint8_t *data, size_t len, char *out);

/* Exactly len bytes from 2 * len hex digits, upper or lower case. 0 or -EPROTO. */
int encoding_unhex(const char *text, size_t text_len, uint8_t *ret, size_t len) __attribute__((warn_unused_result));

/* "8-4-4-4-12" hex digits to 16 bytes. 0 or -EPROTO. Trailing white space is allowed (files end in a newline). */
int encoding_uuid_parse(const char *text, size_t text_len, uint8_t ret[16]) __attribute__((warn_unused_result));
void encoding_uuid_format(const uint8_t uuid[16], char out[UUID_TEXT_SIZE]);
/* Room for the base64 of len bytes, padded, with its terminator. */
#define ENCODING_BASE64_SIZE(len) (((len) + 2) / 3 * 4 + 1)

/* Base64 of RFC 4648 with the standard alphabet, without padding. Returns the length without the terminator. */
size_t encoding_base64(const void *data, size_t len, char *out);
/* With or without padding; the unused last bits are not looked at. ret has room for text_len / 4 * 3 + 2 bytes. 0 or
 * -EPROTO. */
int encoding_unbase64(const char *text, size_t text_len, uint8_t *ret, size_t *ret_len)
	__attribute__((warn_unused_result));

/* A random (version 4) UUID. */
void encoding_uuid_random(uint8_t ret[16]);

/* getrandom(2); does not fail once the kernel's pool is ready, and waits for that. */
void encoding_random(void *ret, size_t len);
