/* Files are written whole or not at all, so that a crash leaves the old ones. Whether the certificate still serves is
 * read from the certificate itself: its end, its names and who signed it; nothing else is remembered. */
#include "backend/tls/internal.h"
#include "common/whole_file.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_MAX (64u << 10)

static int path(char out[OWN_PATH_SIZE], const char *directory, const char *name)
{
	int n = snprintf(out, OWN_PATH_SIZE, "%s/%s", directory, name);
	return n < 0 || n >= OWN_PATH_SIZE ? -ENAMETOOLONG : 0;
}

/* --- writing -------------------------------------------------------------------------------------------------------
 */

static int store_pem(const char *directory, const char *name, EVP_PKEY *key, X509 *first, X509 *second, mode_t mode)
{
	char file[OWN_PATH_SIZE], *data;
	int r = path(file, directory, name);
	if (r < 0)
		return r;
	BIO *out = BIO_new(BIO_s_secmem());
	bool ok = out && (!key || PEM_write_bio_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) == 1) &&
		  (!first || PEM_write_bio_X509(out, first) == 1) && (!second || PEM_write_bio_X509(out, second) == 1);
	if (ok) {
		long len = BIO_get_mem_data(out, &data);
		r = whole_file_write(file, data, (size_t)len, mode);
	} else {
		r = -ENOMEM;
	}
	BIO_free(out);
	return r;
}

/* --- reading -------------------------------------------------------------------------------------------------------
 */

/* Nobody is there to be asked. */
static int no_passphrase(char *out, int size, int write, void *arg)
{
	return -1;
}

/* 0 with whatever of the two the file holds, -ENOENT when there is no such file. */
static int load_pem(const char *directory, const char *name, EVP_PKEY **ret_key, X509 **ret_certificate)
{
	char file[OWN_PATH_SIZE];
	int r = path(file, directory, name);
	if (r < 0)
		return r;
	FILE *in = fopen(file, "re");
	if (!in)
		return -errno;
	if (ret_key)
		*ret_key = PEM_read_PrivateKey(in, NULL, no_passphrase, NULL);
	rewind(in);
	if (ret_certificate)
		*ret_certificate = PEM_read_X509(in, NULL, no_passphrase, NULL);
	fclose(in);
	ERR_clear_error();
	return 0;
}

/* The CA as it stands, or a new one. A key without its certificate, or the other way round, is refused: to replace it
 * silently would lock out every agent that trusts it. */
static int ensure_ca(const char *directory, const struct own_names *names, uint64_t now_s, struct own_pair *ret,
		     char error[TLS_ERROR_SIZE])
{
	int key = load_pem(directory, "ca.key", &ret->key, NULL);
	int certificate = load_pem(directory, "ca.pem", NULL, &ret->certificate);
	if (key == -ENOENT && certificate == -ENOENT) {
		int r = own_make_ca(names->n > 0 ? names->names[0] : "localhost", now_s, ret);
		if (r == 0)
			r = store_pem(directory, "ca.key", ret->key, NULL, NULL, 0600);
		if (r == 0)
			r = store_pem(directory, "ca.pem", NULL, ret->certificate, NULL, 0644);
		if (r < 0)
			snprintf(error, TLS_ERROR_SIZE, "%.300s: cannot make a CA there: %s", directory, strerror(-r));
		return r;
	}
	if (!ret->key || !ret->certificate || X509_check_private_key(ret->certificate, ret->key) != 1) {
		snprintf(error, TLS_ERROR_SIZE,
			 "%.300s: ca.key and ca.pem do not belong together, or cannot be read; put them back from a "
			 "backup, or remove both: then agents need new keys",
			 directory);
		ERR_clear_error();
		return -EBADMSG;
	}
	return 0;
}

static uint64_t end_of(const X509 *certificate)
{
	struct tm tm = {0};
	if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &tm) != 1)
		return 0;
	time_t end = timegm(&tm);
	return end < 0 ? 0 : (uint64_t)end;
}

static bool has_names(X509 *certificate, const struct own_names *names)
{
	for (size_t i = 0; i < names->n; i++) {
		const char *name = names->names[i];
		if (X509_check_ip_asc(certificate, name, 0) != 1 && X509_check_host(certificate, name, 0, 0, NULL) != 1)
			return false;
	}
	return true;
}

static bool still_serves(const struct own_pair *server, const struct own_pair *ca, const struct own_names *names,
			 uint64_t now_s)
{
	return server->key && server->certificate && X509_check_private_key(server->certificate, server->key) == 1 &&
	       X509_verify(server->certificate, ca->key) == 1 && has_names(server->certificate, names) &&
	       end_of(server->certificate) > now_s + OWN_RENEW_DAYS * 86400ull;
}

static int ensure_server(const char *directory, const struct own_names *names, const struct own_pair *ca,
			 uint64_t now_s, struct own_files *files, char error[TLS_ERROR_SIZE])
{
	struct own_pair server = {0};
	int r = load_pem(directory, "server.pem", &server.key, &server.certificate);
	if (r < 0 && r != -ENOENT)
		goto done;
	r = 0;
	if (!still_serves(&server, ca, names, now_s)) {
		ERR_clear_error();
		own_pair_free(&server);
		r = own_make_server(names, ca, now_s, &server);
		if (r == 0)
			r = store_pem(directory, "server.pem", server.key, server.certificate, ca->certificate, 0600);
		files->made = r == 0;
	}
	if (r == 0)
		files->renew_at_s = end_of(server.certificate) - OWN_RENEW_DAYS * 86400ull;
done:
	if (r < 0)
		snprintf(error, TLS_ERROR_SIZE, "%.300s/server.pem: cannot make the certificate: %s", directory,
			 strerror(-r));
	own_pair_free(&server);
	return r;
}

int own_files_ensure(const char *directory, const struct own_names *names, uint64_t now_s, struct own_files *ret,
		     char error[TLS_ERROR_SIZE])
{
	struct own_files files = {0};
	struct own_pair ca = {0};
	int r = path(files.ca, directory, "ca.pem");
	if (r == 0)
		r = path(files.server, directory, "server.pem");
	if (r == 0 && mkdir(directory, 0700) < 0 && errno != EEXIST)
		r = -errno;
	if (r < 0) {
		snprintf(error, TLS_ERROR_SIZE, "cannot make the directory %.300s for certificates: %s; say --tls-dir",
			 directory, strerror(-r));
		return r;
	}
	r = ensure_ca(directory, names, now_s, &ca, error);
	if (r == 0)
		r = ensure_server(directory, names, &ca, now_s, &files, error);
	own_pair_free(&ca);
	if (r == 0)
		*ret = files;
	return r;
}

int own_fingerprint(const char *file, uint8_t ret[TLS_FINGERPRINT_BYTES])
{
	FILE *in = fopen(file, "re");
	X509 *last = NULL, *next;
	if (!in)
		return -errno;
	while ((next = PEM_read_X509(in, NULL, no_passphrase, NULL))) {
		X509_free(last);
		last = next;
	}
	fclose(in);
	ERR_clear_error();
	if (!last)
		return -EBADMSG;
	unsigned len = 0;
	int r = X509_self_signed(last, 1) == 1 ? 0 : -ENOENT;
	uint8_t digest[EVP_MAX_MD_SIZE];
	if (r == 0 && (X509_digest(last, EVP_sha256(), digest, &len) != 1 || len != TLS_FINGERPRINT_BYTES))
		r = -ENOMEM;
	if (r == 0)
		memcpy(ret, digest, TLS_FINGERPRINT_BYTES);
	X509_free(last);
	ERR_clear_error();
	return r;
}
