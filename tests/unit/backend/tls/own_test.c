/* Own certificates, in a directory made for the test; time is an argument, so that years pass at once. */
#include "backend/tls/own.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#define NOW 1800000000ull
#define DAY 86400ull

struct fixture {
	char parent[32], directory[64];
	struct own_names names;
	struct own_files files;
	char error[TLS_ERROR_SIZE];
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	strcpy(f->parent, "/tmp/sonde-own-XXXXXX");
	if (!mkdtemp(f->parent))
		return -1;
	snprintf(f->directory, sizeof(f->directory), "%s/tls", f->parent);
	own_names_add(&f->names, "host.example");
	own_names_add(&f->names, "192.0.2.7");
	own_names_add(&f->names, "2001:db8::7");
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char command[128];
	snprintf(command, sizeof(command), "rm -rf %s", f->parent);
	int r = system(command);
	free(f);
	return r;
}

static int ensure(struct fixture *f, uint64_t now)
{
	return own_files_ensure(f->directory, &f->names, now, &f->files, f->error);
}

static X509 *load(const char *file)
{
	FILE *in = fopen(file, "r");
	assert_non_null(in);
	X509 *certificate = PEM_read_X509(in, NULL, NULL, NULL);
	fclose(in);
	assert_non_null(certificate);
	return certificate;
}

static mode_t mode_of(const char *directory, const char *name)
{
	char path[256];
	struct stat st;
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	assert_int_equal(stat(path, &st), 0);
	return st.st_mode & 0777;
}

static void both_are_made_once(void **state)
{
	struct fixture *f = *state;
	uint8_t first[TLS_FINGERPRINT_BYTES], second[TLS_FINGERPRINT_BYTES];
	assert_int_equal(ensure(f, NOW), 0);
	assert_true(f->files.made);
	assert_int_equal(f->files.renew_at_s, NOW + (OWN_CERTIFICATE_DAYS - OWN_RENEW_DAYS) * DAY);
	assert_int_equal(mode_of(f->directory, "."), 0700);
	assert_int_equal(mode_of(f->directory, "ca.key"), 0600);
	assert_int_equal(mode_of(f->directory, "ca.pem"), 0644);
	assert_int_equal(mode_of(f->directory, "server.pem"), 0600);
	assert_int_equal(own_fingerprint(f->files.ca, first), 0);
	assert_int_equal(own_fingerprint(f->files.server, second), 0);
	assert_memory_equal(first, second, sizeof(first));
	assert_int_equal(ensure(f, NOW + 59 * DAY), 0);
	assert_false(f->files.made);
}

static void the_certificate_is_for_the_names_and_of_the_ca(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(ensure(f, NOW), 0);
	X509 *ca = load(f->files.ca), *server = load(f->files.server);
	assert_int_equal(X509_check_host(server, "host.example", 0, 0, NULL), 1);
	assert_int_equal(X509_check_host(server, "other.example", 0, 0, NULL), 0);
	assert_int_equal(X509_check_ip_asc(server, "192.0.2.7", 0), 1);
	assert_int_equal(X509_check_ip_asc(server, "2001:db8::7", 0), 1);
	assert_int_equal(X509_check_ip_asc(server, "192.0.2.8", 0), 0);
	assert_int_equal(X509_check_issued(ca, server), X509_V_OK);
	assert_int_equal(X509_verify(server, X509_get0_pubkey(ca)), 1);
	assert_int_equal(X509_check_ca(ca), 1);
	assert_int_equal(X509_check_ca(server), 0);
	assert_int_equal(X509_check_purpose(server, X509_PURPOSE_SSL_SERVER, 0), 1);
	assert_string_equal(OBJ_nid2sn(EVP_PKEY_get_base_id(X509_get0_pubkey(server))), "id-ecPublicKey");
	X509_free(ca);
	X509_free(server);
}

static void it_is_renewed_in_time_under_the_same_ca(void **state)
{
	struct fixture *f = *state;
	uint8_t before[TLS_FINGERPRINT_BYTES], after[TLS_FINGERPRINT_BYTES];
	assert_int_equal(ensure(f, NOW), 0);
	assert_int_equal(own_fingerprint(f->files.ca, before), 0);
	uint64_t due = f->files.renew_at_s;
	assert_int_equal(ensure(f, due - 1), 0);
	assert_false(f->files.made);
	assert_int_equal(ensure(f, due), 0);
	assert_true(f->files.made);
	assert_int_equal(f->files.renew_at_s, due + (OWN_CERTIFICATE_DAYS - OWN_RENEW_DAYS) * DAY);
	assert_int_equal(own_fingerprint(f->files.server, after), 0);
	assert_memory_equal(before, after, sizeof(before));
}

static void other_names_are_another_certificate(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(ensure(f, NOW), 0);
	own_names_add(&f->names, "new.example");
	assert_int_equal(ensure(f, NOW), 0);
	assert_true(f->files.made);
	/* What it is good for beyond what is asked does no harm. */
	f->names.n--;
	assert_int_equal(ensure(f, NOW), 0);
	assert_false(f->files.made);
}

static void put(const struct fixture *f, const char *name, const char *text)
{
	char path[256];
	snprintf(path, sizeof(path), "%s/%s", f->directory, name);
	FILE *out = fopen(path, "w");
	assert_non_null(out);
	fputs(text, out);
	fclose(out);
}

static void a_damaged_certificate_is_made_again_and_a_damaged_ca_is_not(void **state)
{
	struct fixture *f = *state;
	static const char *const damaged[] = {"", "garbage",
					      "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"};
	for (size_t i = 0; i < sizeof(damaged) / sizeof(damaged[0]); i++) {
		assert_int_equal(ensure(f, NOW), 0);
		put(f, "server.pem", damaged[i]);
		assert_int_equal(ensure(f, NOW), 0);
		assert_true(f->files.made);
	}
	put(f, "ca.pem", "garbage");
	assert_int_equal(ensure(f, NOW), -EBADMSG);
	assert_non_null(strstr(f->error, "ca.key and ca.pem"));
}

static void a_server_certificate_of_another_ca_is_made_again(void **state)
{
	struct fixture *f = *state;
	char from[256], to[256];
	assert_int_equal(ensure(f, NOW), 0);
	snprintf(from, sizeof(from), "%s/ca.key", f->directory);
	snprintf(to, sizeof(to), "%s/ca.pem", f->directory);
	assert_int_equal(unlink(from), 0);
	assert_int_equal(unlink(to), 0);
	assert_int_equal(ensure(f, NOW), 0);
	assert_true(f->files.made);
}

static void what_cannot_be_made_is_said(void **state)
{
	struct fixture *f = *state;
	struct own_files untouched = {.renew_at_s = 7};
	assert_true(own_files_ensure("/proc/no/such", &f->names, NOW, &untouched, f->error) < 0);
	assert_non_null(strstr(f->error, "/proc/no/such"));
	assert_int_equal(untouched.renew_at_s, 7);
}

static void fingerprints_are_of_what_can_be_pinned(void **state)
{
	struct fixture *f = *state;
	uint8_t digest[TLS_FINGERPRINT_BYTES];
	char path[256], command[600];
	assert_int_equal(ensure(f, NOW), 0);
	assert_int_equal(own_fingerprint("/no/such/file", digest), -ENOENT);
	put(f, "none.pem", "nothing");
	snprintf(path, sizeof(path), "%s/none.pem", f->directory);
	assert_int_equal(own_fingerprint(path, digest), -EBADMSG);
	/* The leaf alone: its CA is not there to be pinned. */
	snprintf(command, sizeof(command), "openssl x509 -in %s -out %s/leaf.pem", f->files.server, f->directory);
	if (system(command) != 0)
		skip();
	snprintf(path, sizeof(path), "%s/leaf.pem", f->directory);
	assert_int_equal(own_fingerprint(path, digest), -ENOENT);
}

static void names_are_kept_once_and_within_bounds(void **state)
{
	struct own_names *names = calloc(1, sizeof(*names));
	char name[32];
	own_names_add(names, "a.example");
	own_names_add(names, "A.Example");
	own_names_add(names, "");
	own_names_add(names, "with space");
	own_names_add(names, "with\nnewline");
	assert_int_equal(names->n, 1);
	for (int i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		own_names_add(names, name);
	}
	assert_int_equal(names->n, OWN_NAMES_MAX);
	*names = (struct own_names){0};
	own_names_of_host(names);
	assert_true(names->n >= 3);
	free(names);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(both_are_made_once),
		TEST(the_certificate_is_for_the_names_and_of_the_ca),
		TEST(it_is_renewed_in_time_under_the_same_ca),
		TEST(other_names_are_another_certificate),
		TEST(a_damaged_certificate_is_made_again_and_a_damaged_ca_is_not),
		TEST(a_server_certificate_of_another_ca_is_made_again),
		TEST(what_cannot_be_made_is_said),
		TEST(fingerprints_are_of_what_can_be_pinned),
		TEST(names_are_kept_once_and_within_bounds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
