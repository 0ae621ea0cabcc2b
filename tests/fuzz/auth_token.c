/* auth_check_token()'s parsing: the bytes as a token as they are, and again as "header NUL claims", signed, so that
 * what lies behind the signature is reached too. */
#include "backend/auth/token.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t secret[TOKEN_SECRET_SIZE] = "thirty-two bytes of test secret";

static void check(const char *token)
{
	struct auth_identity who = {0};
	if (token_check(secret, token, 1700000000, &who) == 0 &&
	    (who.expires_s <= 1700000000 || (who.role != STORE_ROLE_VIEWER && who.role != STORE_ROLE_ADMIN)))
		abort();
}

static size_t put(char *out, size_t at, const uint8_t *data, size_t len)
{
	size_t room = sodium_base64_encoded_len(len, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	sodium_bin2base64(out + at, room, data, len, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	return at + room - 1;
}

static void check_signed(const uint8_t *data, size_t size)
{
	const uint8_t *split = memchr(data, '\0', size);
	char token[4096];
	uint8_t mac[crypto_auth_hmacsha256_BYTES];
	if (!split || size > 2000)
		return;
	size_t len = put(token, 0, data, (size_t)(split - data));
	token[len++] = '.';
	len = put(token, len, split + 1, size - (size_t)(split - data) - 1);
	crypto_auth_hmacsha256(mac, (const uint8_t *)token, len, secret);
	token[len++] = '.';
	len = put(token, len, mac, sizeof(mac));
	token[len] = '\0';
	check(token);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	if (!text || sodium_init() < 0)
		abort();
	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	check(text);
	free(text);
	check_signed(data, size);
	return 0;
}
