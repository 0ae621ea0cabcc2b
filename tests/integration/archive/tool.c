/* archive_tool fill URL SEED CHUNK_BYTES: a store with all a store can hold: hosts, users, keys, settings, descriptor
 * sets, rows, chunks of all tiers, waiting and compacted. What they hold follows from SEED. archive_tool list FILE: a
 * line for each record of an archive, without what is another one's after a restore: the date and the numbers of
 * generations, of which the order is kept. */
#include "backend/archive/appender.h"
#include "backend/archive/archive_file.h"
#include "backend/archive/records.h"
#include "backend/columns/rollup.h"
#include "common/buf.h"

#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOSTS 3
#define ROWS 400
#define SEALED 300 /* of them */
#define HOUR_US 3600000000ll
#define BEGIN_US (1700000000ll / 21600 * 21600 * 1000000)

static uint64_t state;

static uint64_t random_next(void)
{
	state += 0x9e3779b97f4a7c15u;
	uint64_t z = (state ^ (state >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static void random_bytes(uint8_t *out, size_t len)
{
	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t)random_next();
}

static void must(int r, const char *what)
{
	if (r >= 0)
		return;
	fprintf(stderr, "%s: %s\n", what, strerror(-r));
	exit(1);
}

/* --- fill --------------------------------------------------------------------------------------------------------- */

static void fill_accounts(struct store *store)
{
	struct store_user user = {
		.tenant_id = 1, .username = "ann", .password_hash = "$argon2id$...", .role = STORE_ROLE_ADMIN};
	struct store_user other = {
		.tenant_id = 1, .username = "b\xc3\xb6rge '; DROP TABLE users", .role = STORE_ROLE_VIEWER};
	struct store_key key = {.tenant_id = 1, .name = "first"},
			 revoked = {.tenant_id = 1, .name = "", .revoked = true};
	uint8_t bytes[3000];
	random_bytes(key.hash, sizeof(key.hash));
	random_bytes(revoked.hash, sizeof(revoked.hash));
	random_bytes(bytes, sizeof(bytes));
	must(store_user_put(store, &user), "user");
	must(store_user_put(store, &other), "user");
	must(store_key_put(store, &key), "key");
	must(store_key_put(store, &revoked), "key");
	must(store_setting_put(store, "jwt_secret", bytes, 32), "setting");
	must(store_setting_put(store, "nothing", bytes, 0), "setting");
	must(store_descriptors_put(store, bytes, bytes, sizeof(bytes)), "descriptors");
}

static void fill_rows(struct store *store, const uint8_t host_id[16], int from, int to)
{
	struct appender appender;
	uint8_t instance[16], payload[2000];
	must(appender_init(&appender, store), "appender");
	for (int i = from; i < to; i++) {
		/* A row without a byte too, and sequences with gaps. */
		size_t len = i % 97 == 0 ? 0 : random_next() % sizeof(payload);
		random_bytes(payload, len);
		memset(instance, i % 5 == 0, sizeof(instance));
		struct store_snapshot snapshot = {
			.sequence = (uint64_t)i + (uint64_t)(i / 50) * 3 + 1,
			.agent_us = BEGIN_US + i * 1000000ll,
			.boottime_us = (uint64_t)i * 1000000,
			.received_us = BEGIN_US + i * 1000000ll + 77,
			.payload = payload,
			.len = len,
		};
		must(appender_put(&appender, host_id, instance, &snapshot), "append");
	}
	must(appender_drain(&appender), "append");
	appender_free(&appender);
}

static void fill_chunks(struct store *store, const uint8_t host_id[16], size_t len)
{
	uint8_t *data = malloc(len), payload[100];
	struct store_chunk chunks[2 + ROLLUP_END];
	struct store_row latest = {
		.agent_us = BEGIN_US, .received_us = BEGIN_US + 77, .payload = payload, .len = sizeof(payload)};
	size_t n = 0;
	must(data ? 0 : -ENOMEM, "chunks");
	random_bytes(data, len);
	random_bytes(payload, sizeof(payload));
	for (unsigned tier = STORE_TIER_RAW; tier <= STORE_TIER_MINUTE; tier++) {
		uint32_t end = tier == STORE_TIER_MINUTE ? ROLLUP_END : 1;
		for (uint32_t statistic = tier == STORE_TIER_MINUTE ? 1 : 0; statistic < end; statistic++)
			chunks[n++] = (struct store_chunk){.tier = tier,
							   .statistic = statistic,
							   .window_us = BEGIN_US,
							   .first_us = BEGIN_US + (int64_t)statistic,
							   .last_us = BEGIN_US + HOUR_US - 1,
							   .made_us = BEGIN_US + HOUR_US,
							   .len = len - n,
							   .data = data + n};
	}
	must(store_seal(store, host_id, INT64_MIN, BEGIN_US + (SEALED - 1) * 1000000ll + 77, SEALED, &latest, chunks,
			n),
	     "seal");
	for (size_t i = 0; i < n; i++)
		chunks[i].compacted = i % 2 == 0;
	must(store_replace(store, host_id, NULL, 0, chunks, n), "replace");
	free(data);
}

static int fill(const char *url, uint64_t seed, size_t chunk_bytes)
{
	struct store *store;
	char *error = NULL;
	state = seed;
	if (store_open(url, &store, &error) < 0) {
		fprintf(stderr, "%s\n", error ? error : "out of memory");
		return 1;
	}
	fill_accounts(store);
	for (unsigned i = 0; i < HOSTS; i++) {
		struct store_host host = {
			.tenant_id = 1, .key_id = 1 + i % 2, .first_seen_us = BEGIN_US, .last_seen_us = BEGIN_US + i};
		uint8_t facts[200];
		random_bytes(host.host_id, sizeof(host.host_id));
		random_bytes(facts, sizeof(facts));
		snprintf(host.hostname, sizeof(host.hostname), "host \"%u\"", i);
		if (i > 0) {
			host.facts = facts;
			host.facts_len = sizeof(facts);
		}
		must(store_host_register(store, &host), "host");
		if (i < HOSTS - 1) { /* the last one was never heard of again */
			fill_rows(store, host.host_id, 0, ROWS);
			fill_chunks(store, host.host_id, chunk_bytes);
			fill_rows(store, host.host_id, ROWS, ROWS + 10);
		}
	}
	store_close(store);
	return 0;
}

/* --- list --------------------------------------------------------------------------------------------------------- */

static void print_hash(const uint8_t *data, size_t len)
{
	uint8_t hash[crypto_hash_sha256_BYTES];
	crypto_hash_sha256(hash, data, len);
	for (size_t i = 0; i < 16; i++)
		printf("%02x", hash[i]);
	printf(" %zu\n", len);
}

static void list_chunk(const struct archive_record *record, unsigned order)
{
	const uint8_t *host_id;
	struct store_chunk chunk;
	must(record_take_chunk(record->data, record->len, &host_id, &chunk), "chunk");
	printf("chunk %02x%02x order %u tier %u/%u %s %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " ", host_id[0],
	       host_id[1], order, chunk.tier, chunk.statistic, chunk.compacted ? "compacted" : "waiting",
	       chunk.window_us, chunk.first_us, chunk.last_us, chunk.made_us);
	print_hash(chunk.data, chunk.len);
}

static int list(const char *path)
{
	struct archive_reader *archive;
	struct archive_record record;
	char error[ARCHIVE_ERROR_SIZE];
	unsigned order = 0;
	int r = archive_open(path, &archive, error);
	while (r >= 0 && (r = archive_next(archive, &record, error)) == 1) {
		if (record.type == RECORD_CHUNK) {
			list_chunk(&record, order++);
			continue;
		}
		if (record.type == RECORD_ABOUT)
			continue;
		printf("record %u ", record.type);
		print_hash(record.data, record.len);
	}
	if (r < 0)
		fprintf(stderr, "%s\n", error);
	else
		archive_reader_close(archive);
	return r < 0 ? 1 : 0;
}

int main(int argc, char **argv)
{
	if (sodium_init() < 0)
		return 1;
	if (argc == 5 && strcmp(argv[1], "fill") == 0)
		return fill(argv[2], strtoull(argv[3], NULL, 10), strtoull(argv[4], NULL, 10));
	if (argc == 3 && strcmp(argv[1], "list") == 0)
		return list(argv[2]);
	fputs("usage: archive_tool fill URL SEED CHUNK_BYTES | list FILE\n", stderr);
	return 2;
}
