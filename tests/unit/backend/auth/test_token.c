/* Tokens that were made by hand, correctly signed where that is the point, so that each check stands alone. */
#include "backend/auth/token.h"

#include <errno.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NOW 1700000000
#define HS256 "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"
#define CLAIMS "\"sub\":\"ann\",\"uid\":3,\"tenant\":1,\"role\":2,\"iat\":1700000000"

static const uint8_t secret[TOKEN_SECRET_SIZE] = "thirty-two bytes of test secret";

static void put_base64(char *out, size_t size, const void *data, size_t len)
{
	sodium_bin2base64(out, size, data, len, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

/* Signed with HMAC-SHA-256 whatever the header says. */
static void forge(char *out, size_t size, const char *header, const char *claims)
{
	uint8_t mac[crypto_auth_hmacsha256_BYTES];
	char part[3000];
	crypto_auth_hmacsha256_state hmac;
	put_base64(part, sizeof(part), header, strlen(header));
	size_t len = (size_t)snprintf(out, size, "%s.", part);
	put_base64(part, sizeof(part), claims, strlen(claims));
	len += (size_t)snprintf(out + len, size - len, "%s", part);
	crypto_auth_hmacsha256_init(&hmac, secret, sizeof(secret));
	crypto_auth_hmacsha256_update(&hmac, (const uint8_t *)out, len);
	crypto_auth_hmacsha256_final(&hmac, mac);
	put_base64(part, sizeof(part), mac, sizeof(mac));
	snprintf(out + len, size - len, ".%s", part);
}

static int check_forged(const char *header, const char *claims)
{
	char token[4000];
	struct auth_identity who = {.user_id = -1};
	forge(token, sizeof(token), header, claims);
	int r = token_check(secret, token, NOW, &who);
	if (r < 0)
		assert_int_equal(who.user_id, -1);
	return r;
}

static struct auth_identity ann(void)
{
	return (struct auth_identity){
		.user_id = 3, .tenant_id = 1, .role = STORE_ROLE_ADMIN, .expires_s = NOW + 60, .username = "ann"};
}

static void test_round_trip(void **state)
{
	char token[AUTH_TOKEN_MAX], other[AUTH_TOKEN_MAX];
	struct auth_identity who = ann(), got;
	assert_int_equal(token_make(secret, &who, NOW, token), 0);
	assert_int_equal(token_check(secret, token, NOW, &got), 0);
	assert_int_equal(got.user_id, 3);
	assert_int_equal(got.tenant_id, 1);
	assert_int_equal(got.role, STORE_ROLE_ADMIN);
	assert_int_equal(got.expires_s, NOW + 60);
	assert_string_equal(got.username, "ann");
	assert_int_equal(token_make(secret, &who, NOW, other), 0);
	assert_string_not_equal(token, other);
	memset(who.username, 'u', STORE_USERNAME_MAX);
	assert_int_equal(token_make(secret, &who, NOW, token), 0);
	assert_int_equal(token_check(secret, token, NOW, &got), 0);
}

static void test_expiry(void **state)
{
	char token[AUTH_TOKEN_MAX];
	struct auth_identity who = ann(), got;
	assert_int_equal(token_make(secret, &who, NOW, token), 0);
	assert_int_equal(token_check(secret, token, NOW + 59, &got), 0);
	assert_int_equal(token_check(secret, token, NOW + 60, &got), -ETIME);
	assert_int_equal(token_check(secret, token, NOW + 1000000, &got), -ETIME);
}

static void test_the_forger_can_make_a_good_one(void **state)
{
	assert_int_equal(check_forged(HS256, "{" CLAIMS ",\"exp\":1700000060}"), 0);
}

static void test_algorithms(void **state)
{
	static const char *const headers[] = {
		"{\"alg\":\"none\",\"typ\":\"JWT\"}",
		"{\"alg\":\"None\",\"typ\":\"JWT\"}",
		"{\"alg\":\"NONE\"}",
		"{\"alg\":\"RS256\",\"typ\":\"JWT\"}",
		"{\"alg\":\"ES256\",\"typ\":\"JWT\"}",
		"{\"alg\":\"HS384\",\"typ\":\"JWT\"}",
		"{\"alg\":\"HS512\",\"typ\":\"JWT\"}",
		"{\"typ\":\"JWT\"}",
		"{\"alg\":256}",
		"{\"alg\":null}",
		"{}",
		"[]",
		"",
	};
	for (size_t i = 0; i < sizeof(headers) / sizeof(*headers); i++) {
		if (check_forged(headers[i], "{" CLAIMS ",\"exp\":1700000060}") != -EACCES)
			fail_msg("header %s was not refused", headers[i]);
	}
}

/* alg=none with an empty or without a signature: the classic. */
static void test_unsigned(void **state)
{
	char token[1000], part[500];
	struct auth_identity got;
	static const char header[] = "{\"alg\":\"none\",\"typ\":\"JWT\"}", claims[] = "{" CLAIMS ",\"exp\":1700000060}";
	put_base64(part, sizeof(part), header, strlen(header));
	size_t len = (size_t)snprintf(token, sizeof(token), "%s.", part);
	put_base64(part, sizeof(part), claims, strlen(claims));
	len += (size_t)snprintf(token + len, sizeof(token) - len, "%s", part);
	assert_int_equal(token_check(secret, token, NOW, &got), -EACCES);
	token[len] = '.';
	token[len + 1] = '\0';
	assert_int_equal(token_check(secret, token, NOW, &got), -EACCES);
}

/* Really signed with HMAC-SHA-512 under our secret: still not what we issue. */
static void test_hs512_signed(void **state)
{
	char token[2000], part[500];
	struct auth_identity got;
	uint8_t mac[crypto_auth_hmacsha512_BYTES];
	crypto_auth_hmacsha512_state hmac;
	static const char header[] = "{\"alg\":\"HS512\",\"typ\":\"JWT\"}",
			  claims[] = "{" CLAIMS ",\"exp\":1700000060}";
	put_base64(part, sizeof(part), header, strlen(header));
	size_t len = (size_t)snprintf(token, sizeof(token), "%s.", part);
	put_base64(part, sizeof(part), claims, strlen(claims));
	len += (size_t)snprintf(token + len, sizeof(token) - len, "%s", part);
	crypto_auth_hmacsha512_init(&hmac, secret, sizeof(secret));
	crypto_auth_hmacsha512_update(&hmac, (const uint8_t *)token, len);
	crypto_auth_hmacsha512_final(&hmac, mac);
	put_base64(part, sizeof(part), mac, sizeof(mac));
	snprintf(token + len, sizeof(token) - len, ".%s", part);
	assert_int_equal(token_check(secret, token, NOW, &got), -EACCES);
}

static void test_claims(void **state)
{
	static const char *const claims[] = {
		"{" CLAIMS "}",
		"{" CLAIMS ",\"exp\":\"1700000060\"}",
		"{" CLAIMS ",\"exp\":1700000060.5}",
		"{" CLAIMS ",\"exp\":null}",
		"{" CLAIMS ",\"exp\":true}",
		"{" CLAIMS ",\"exp\":[1700000060]}",
		"{" CLAIMS ",\"exp\":99999999999999999999999}",
		"{\"uid\":3,\"tenant\":1,\"role\":2,\"exp\":1700000060}",
		"{\"sub\":5,\"uid\":3,\"tenant\":1,\"role\":2,\"exp\":1700000060}",
		"{\"sub\":\"ann\",\"tenant\":1,\"role\":2,\"exp\":1700000060}",
		"{\"sub\":\"ann\",\"uid\":3,\"role\":2,\"exp\":1700000060}",
		"{\"sub\":\"ann\",\"uid\":3,\"tenant\":1,\"exp\":1700000060}",
		"{\"sub\":\"ann\",\"uid\":3,\"tenant\":1,\"role\":3,\"exp\":1700000060}",
		"{\"sub\":\"ann\",\"uid\":3,\"tenant\":1,\"role\":0,\"exp\":1700000060}",
		"{\"sub\":\"ann\",\"uid\":3,\"tenant\":1,\"role\":\"admin\",\"exp\":1700000060}",
		"{\"sub\":\"an",
		"[1]",
		"null",
		"",
	};
	for (size_t i = 0; i < sizeof(claims) / sizeof(*claims); i++) {
		if (check_forged(HS256, claims[i]) != -EACCES)
			fail_msg("claims %s were not refused", claims[i]);
	}
	assert_int_equal(check_forged(HS256, "{" CLAIMS ",\"exp\":-5}"), -ETIME);
	assert_int_equal(check_forged(HS256, "{" CLAIMS ",\"exp\":1700000000}"), -ETIME);
	assert_int_equal(check_forged(HS256, "{" CLAIMS ",\"exp\":1700000060,\"extra\":{\"a\":[]}}"), 0);
}

/* Every single character matters. The last one of a part may carry unused bits, so it is changed by enough. */
static void test_altered(void **state)
{
	char token[AUTH_TOKEN_MAX];
	struct auth_identity who = ann(), got;
	assert_int_equal(token_make(secret, &who, NOW, token), 0);
	size_t len = strlen(token);
	for (size_t i = 0; i < len; i++) {
		char kept = token[i];
		token[i] = kept == 'A' ? 'z' : kept == '.' ? 'x' : 'A';
		if (token_check(secret, token, NOW, &got) == 0 && i + 1 < len)
			fail_msg("character %zu does not matter", i);
		token[i] = kept;
	}
	uint8_t other[TOKEN_SECRET_SIZE] = "another secret";
	assert_int_equal(token_check(other, token, NOW, &got), -EACCES);
	for (size_t i = 0; i < len; i++) {
		char kept = token[i];
		token[i] = '\0';
		assert_int_equal(token_check(secret, token, NOW, &got), -EACCES);
		token[i] = kept;
	}
}

static void test_garbage(void **state)
{
	static const char *const garbage[] = {"",
					      ".",
					      "..",
					      "...",
					      "a.b.c",
					      "....",
					      "\xff\xfe.\x80.\x01",
					      "e30",
					      "e30.",
					      "e30.e30",
					      "e30.e30.",
					      ".e30.e30",
					      "Bearer e30.e30.e30"};
	struct auth_identity got;
	for (size_t i = 0; i < sizeof(garbage) / sizeof(*garbage); i++)
		assert_int_equal(token_check(secret, garbage[i], NOW, &got), -EACCES);
	size_t len = 1u << 20;
	char *large = malloc(len + 1);
	assert_non_null(large);
	memset(large, 'A', len);
	large[len] = '\0';
	assert_int_equal(token_check(secret, large, NOW, &got), -EACCES);
	large[100] = large[200] = '.';
	assert_int_equal(token_check(secret, large, NOW, &got), -EACCES);
	free(large);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_expiry),
		cmocka_unit_test(test_the_forger_can_make_a_good_one),
		cmocka_unit_test(test_algorithms),
		cmocka_unit_test(test_unsigned),
		cmocka_unit_test(test_hs512_signed),
		cmocka_unit_test(test_claims),
		cmocka_unit_test(test_altered),
		cmocka_unit_test(test_garbage),
	};
	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
