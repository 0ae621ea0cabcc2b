/* Certificates begin a day ago: agents whose clocks are behind may come at once. */
#include "backend/tls/internal.h"

#include "common/encoding.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#define DAY_S 86400ll

void own_pair_free(struct own_pair *pair)
{
	EVP_PKEY_free(pair->key);
	X509_free(pair->certificate);
	*pair = (struct own_pair){0};
}

static bool add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX context;
	X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	bool ok = extension && X509_add_ext(certificate, extension, -1) == 1;
	X509_EXTENSION_free(extension);
	return ok;
}

static bool set_serial(X509 *certificate)
{
	uint8_t bytes[16];
	encoding_random(bytes, sizeof(bytes));
	bytes[0] = (uint8_t)((bytes[0] & 0x7f) | 0x40);
	BIGNUM *number = BN_bin2bn(bytes, sizeof(bytes), NULL);
	bool ok = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate));
	BN_free(number);
	return ok;
}

static bool set_subject(X509 *certificate, const char *common_name)
{
	char cut[65]; /* what X.509 allows */
	X509_NAME *name = X509_get_subject_name(certificate);
	snprintf(cut, sizeof(cut), "%s", common_name);
	return X509_NAME_add_entry_by_txt(name, "O", MBSTRING_ASC, (const uint8_t *)"Sonde", -1, -1, 0) == 1 &&
	       X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const uint8_t *)cut, -1, -1, 0) == 1;
}

/* A key and a certificate that wants its extensions and its signature. */
static bool begin(const char *common_name, uint64_t now_s, long days, struct own_pair *pair)
{
	pair->key = EVP_EC_gen("P-256");
	pair->certificate = X509_new();
	X509 *c = pair->certificate;
	time_t from = (time_t)now_s - DAY_S, to = (time_t)now_s + days * DAY_S;
	return pair->key && c && X509_set_version(c, 2) == 1 && set_serial(c) && set_subject(c, common_name) &&
	       ASN1_TIME_set(X509_getm_notBefore(c), from) && ASN1_TIME_set(X509_getm_notAfter(c), to) &&
	       X509_set_pubkey(c, pair->key) == 1;
}

static int finish(bool ok, struct own_pair *pair, struct own_pair *ret)
{
	ERR_clear_error();
	if (!ok) {
		own_pair_free(pair);
		return -ENOMEM;
	}
	*ret = *pair;
	return 0;
}

int own_make_ca(const char *host, uint64_t now_s, struct own_pair *ret)
{
	struct own_pair ca = {0};
	char name[OWN_NAME_SIZE + 16];
	snprintf(name, sizeof(name), "CA of %s", host);
	bool ok = begin(name, now_s, OWN_CA_DAYS, &ca) &&
		  X509_set_issuer_name(ca.certificate, X509_get_subject_name(ca.certificate)) == 1 &&
		  add_extension(ca.certificate, ca.certificate, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
		  add_extension(ca.certificate, ca.certificate, NID_key_usage, "critical,keyCertSign,cRLSign") &&
		  add_extension(ca.certificate, ca.certificate, NID_subject_key_identifier, "hash") &&
		  X509_sign(ca.certificate, ca.key, EVP_sha256()) > 0;
	return finish(ok, &ca, ret);
}

static bool add_names(X509 *certificate, const struct own_names *names)
{
	GENERAL_NAMES *list = sk_GENERAL_NAME_new_null();
	bool ok = list != NULL;
	for (size_t i = 0; i < names->n && ok; i++) {
		const char *name = names->names[i];
		uint8_t binary[16];
		bool address = inet_pton(AF_INET, name, binary) == 1 || inet_pton(AF_INET6, name, binary) == 1;
		GENERAL_NAME *entry = a2i_GENERAL_NAME(NULL, NULL, NULL, address ? GEN_IPADD : GEN_DNS, name, 0);
		ok = entry && sk_GENERAL_NAME_push(list, entry) > 0;
		if (!ok)
			GENERAL_NAME_free(entry);
	}
	ok = ok && X509_add1_ext_i2d(certificate, NID_subject_alt_name, list, 0, X509V3_ADD_DEFAULT) == 1;
	GENERAL_NAMES_free(list);
	return ok;
}

int own_make_server(const struct own_names *names, const struct own_pair *ca, uint64_t now_s, struct own_pair *ret)
{
	struct own_pair server = {0};
	bool ok = begin(names->n > 0 ? names->names[0] : "localhost", now_s, OWN_CERTIFICATE_DAYS, &server) &&
		  X509_set_issuer_name(server.certificate, X509_get_subject_name(ca->certificate)) == 1 &&
		  add_extension(server.certificate, ca->certificate, NID_basic_constraints, "critical,CA:FALSE") &&
		  add_extension(server.certificate, ca->certificate, NID_key_usage, "critical,digitalSignature") &&
		  add_extension(server.certificate, ca->certificate, NID_ext_key_usage, "serverAuth") &&
		  add_extension(server.certificate, ca->certificate, NID_subject_key_identifier, "hash") &&
		  add_extension(server.certificate, ca->certificate, NID_authority_key_identifier, "keyid") &&
		  add_names(server.certificate, names) && X509_sign(server.certificate, ca->key, EVP_sha256()) > 0;
	return finish(ok, &server, ret);
}
