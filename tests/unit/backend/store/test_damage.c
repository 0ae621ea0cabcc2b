/* Every page of a small database in turn is overwritten. Whatever it was: nothing crashes, what lies on other pages is
 * served, where the damage is the answer is -EUCLEAN, and what is new is written. */
#include "fixture.h"

#include "backend/store/store_ops.h"
#include "common/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE 4096
#define CHUNKS 7
#define CHUNK_BYTES 14000
#define ROWS 14
#define ROW_BYTES 3000

struct contents {
	uint8_t *bytes;
	size_t len;
};

static struct contents slurp(const char *path)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	struct contents c = {malloc((size_t)st.st_size), (size_t)st.st_size};
	assert_non_null(c.bytes);
	assert_int_equal(read(fd, c.bytes, c.len), c.len);
	close(fd);
	return c;
}

static void spill(const char *path, const struct contents *c, size_t damaged)
{
	uint8_t rubbish[PAGE];
	memset(rubbish, 0xa5, sizeof(rubbish));
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, c->bytes, c->len), c->len);
	if (damaged > 0)
		assert_int_equal(pwrite(fd, rubbish, sizeof(rubbish), (off_t)damaged * PAGE), PAGE);
	close(fd);
}

static void fill_with(uint8_t *data, size_t len, unsigned seed)
{
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)((i * 2654435761u + seed * 40503u) >> 13);
}

static void fill(struct fixture *f)
{
	static uint8_t data[CHUNK_BYTES];
	static char payload[ROW_BYTES + 1];
	struct waiter w;
	for (unsigned i = 0; i < CHUNKS; i++) {
		fill_with(data, sizeof(data), i);
		struct store_chunk chunk = {.tier = STORE_TIER_RAW,
					    .first_us = i,
					    .last_us = i,
					    .made_us = 1,
					    .len = sizeof(data),
					    .data = data};
		assert_int_equal(store_replace(f->store, host_a, NULL, 0, &chunk, 1), 0);
	}
	waiter_init(&w);
	memset(payload, 'r', ROW_BYTES);
	for (uint64_t i = 1; i <= ROWS; i++) {
		struct store_snapshot s = make_snapshot(i, payload);
		assert_int_equal(store_append(f->store, host_b, run_1, &s, 1, waiter_done, &w), 0);
	}
	waiter_wait(&w, ROWS, 10);
	store_close(f->store);
	f->store = NULL;
}

struct served {
	size_t listed, whole, refused, altered;
	size_t rows, rows_damaged;
	bool opened, appended, replaced;
	/* after that */
	size_t kept, told, kept_rows, kept_damaged;
};

static int count_row(void *arg, const struct store_row *row)
{
	struct served *s = arg;
	s->rows += row->len == ROW_BYTES;
	s->rows_damaged += row->damaged;
	assert_int_equal(row->damaged ? 1 : ROW_BYTES, row->len);
	assert_true(row->agent_us > 0 && row->received_us > 0);
	return 0;
}

static void look_at_chunks(struct store_view *view, struct served *s)
{
	static uint8_t data[CHUNK_BYTES], expected[CHUNK_BYTES];
	struct store_chunk *chunks = NULL;
	size_t n = 0;
	int r = store_view_chunks(view, host_a, STORE_TIER_RAW, 0, INT64_MIN, INT64_MAX, &chunks, &n);
	if (r < 0) {
		assert_int_equal(r, -EUCLEAN);
		return;
	}
	s->listed = n;
	for (size_t i = 0; i < n; i++) {
		if (chunks[i].len != CHUNK_BYTES || chunks[i].first_us < 0 || chunks[i].first_us >= CHUNKS) {
			s->altered++;
			continue;
		}
		r = store_view_read(view, &chunks[i], 0, CHUNK_BYTES, data);
		fill_with(expected, sizeof(expected), (unsigned)chunks[i].first_us);
		if (r < 0) {
			assert_int_equal(r, -EUCLEAN);
			s->refused++;
		} else if (memcmp(data, expected, sizeof(data)) == 0) {
			s->whole++;
		} else {
			s->altered++;
		}
	}
	free(chunks);
}

static int count_rows_kept(void *arg, const struct store_row *row)
{
	struct served *s = arg;
	s->kept_rows += row->len == ROW_BYTES;
	s->kept_damaged += row->damaged;
	return 0;
}

/* A chunk more, and what is there then: of those before, and itself. */
static void look_after(struct fixture *f, struct served *s)
{
	static uint8_t data[CHUNK_BYTES], expected[CHUNK_BYTES];
	struct store_view *view;
	struct store_chunk *chunks = NULL;
	struct store_chunk chunk = {.tier = STORE_TIER_RAW,
				    .first_us = CHUNKS,
				    .last_us = CHUNKS,
				    .made_us = 1,
				    .len = CHUNK_BYTES,
				    .data = data};
	size_t n = 0;
	bool found = false;
	fill_with(data, sizeof(data), CHUNKS);
	int r = store_replace(f->store, host_a, NULL, 0, &chunk, 1);
	s->replaced = r == 0;
	if (r < 0 || store_view_open(f->store, &view) < 0)
		return;
	r = store_view_chunks(view, host_a, STORE_TIER_RAW, 0, INT64_MIN, INT64_MAX, &chunks, &n);
	for (size_t i = 0; r == 0 && i < n; i++) {
		bool whole = !chunks[i].damaged && chunks[i].len == CHUNK_BYTES && chunks[i].first_us >= 0 &&
			     chunks[i].first_us <= CHUNKS &&
			     store_view_read(view, &chunks[i], 0, CHUNK_BYTES, data) == 0;
		fill_with(expected, sizeof(expected), (unsigned)chunks[i].first_us);
		whole = whole && memcmp(data, expected, sizeof(data)) == 0;
		found |= whole && chunks[i].first_us == CHUNKS;
		s->kept += whole && chunks[i].first_us < CHUNKS;
		s->told += chunks[i].damaged;
	}
	free(chunks);
	assert_true(found);
	r = store_view_rows(view, host_b, INT64_MIN, INT64_MAX, false, count_rows_kept, s);
	assert_int_equal(r, 0);
	store_view_close(view);
}

static struct served look(struct fixture *f)
{
	struct served s = {0};
	struct store_view *view;
	char *line = NULL;
	int r = store_open(f->url, &f->store, &line);
	s.opened = r == 0;
	if (r < 0) {
		assert_int_equal(r, -EUCLEAN);
		free(line);
		f->store = NULL;
		return s;
	}
	if (store_view_open(f->store, &view) == 0) {
		look_at_chunks(view, &s);
		r = store_view_rows(view, host_b, INT64_MIN, INT64_MAX, false, count_row, &s);
		assert_true(r == 0 || r == -EUCLEAN);
		store_view_close(view);
	}
	struct waiter w;
	struct store_snapshot snapshot = make_snapshot(1000, "one more");
	waiter_init(&w);
	assert_int_equal(store_append(f->store, host_a, run_1, &snapshot, 1, waiter_done, &w), 0);
	char text[256] = "ok";
	for (int i = 0; i < 5000 && w.calls == 0 && !strstr(text, "is corrupt"); i++) {
		usleep(1000);
		store_status(f->store, text, sizeof(text));
	}
	look_after(f, &s);
	store_close(f->store); /* ends the wait of what cannot be written */
	f->store = NULL;
	s.appended = w.calls == 1 && w.error == 0;
	return s;
}

/* Which table's page it is; "" when the database does not know. */
static void name_of(const char *path, size_t page, char name[64])
{
	sqlite3 *db = NULL;
	sqlite3_stmt *q = NULL;
	name[0] = '\0';
	assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
	assert_int_equal(
		sqlite3_prepare_v2(db, "SELECT name || '/' || pagetype FROM dbstat WHERE pageno = ?1", -1, &q, NULL),
		SQLITE_OK);
	sqlite3_bind_int64(q, 1, (int64_t)page + 1);
	if (sqlite3_step(q) == SQLITE_ROW)
		snprintf(name, 64, "%s", (const char *)sqlite3_column_text(q, 0));
	sqlite3_finalize(q);
	sqlite3_close(db);
}

static bool starts(const char *name, const char *with)
{
	return strncmp(name, with, strlen(with)) == 0;
}

/* Whatever lies there: what is new finds a place, and what lies elsewhere is there afterwards. */
static void check_page(const char *name, const struct served *s)
{
	bool pieces = starts(name, "chunk_pieces/"), hot = starts(name, "hot/"), index = starts(name, "hot_"),
	     chunks = starts(name, "chunks/");
	assert_true(s->opened && s->appended && s->replaced);
	if (pieces) {
		assert_int_equal(s->listed, CHUNKS);
		/* A leaf holds the beginnings of at most eight. */
		size_t lost = s->refused + s->altered;
		if (starts(name, "chunk_pieces/overflow"))
			assert_int_equal(lost, 1);
		else if (starts(name, "chunk_pieces/leaf"))
			assert_in_range(lost, 1, 8);
		assert_int_equal(s->kept, s->whole);
	} else if (chunks) {
		assert_int_equal(s->told, 1);
	} else {
		assert_int_equal(s->kept, CHUNKS);
	}
	if (hot) {
		assert_int_equal(s->whole, CHUNKS);
		assert_int_equal(s->kept_rows + s->kept_damaged, ROWS);
		if (!starts(name, "hot/internal"))
			assert_true(s->kept_damaged <= 8);
		return;
	}
	if (!index)
		assert_int_equal(s->rows, ROWS);
	assert_int_equal(s->kept_rows, ROWS);
}

static void test_each_page(void **state)
{
	struct fixture *f = *state;
	size_t pages_of_data = 0, refused = 0;
	fill(f);
	struct contents whole = slurp(f->path);
	for (size_t page = 1; page < whole.len / PAGE; page++) {
		char name[64];
		spill(f->path, &whole, 0);
		name_of(f->path, page, name);
		spill(f->path, &whole, page);
		struct served s = look(f);
		check_page(name, &s);
		pages_of_data += starts(name, "chunk_pieces/");
		refused += starts(name, "chunk_pieces/") ? s.refused : 0;
	}
	print_message("%zu pages, %zu of data, %zu reads refused\n", whole.len / PAGE, pages_of_data, refused);
	assert_true(pages_of_data > CHUNKS * (CHUNK_BYTES / PAGE));
	assert_true(refused > 0);
	free(whole.bytes);
	unlink(f->path);
}

/* A piece that is gone, one that is short, and all of them on their way out. */
static void test_pieces_that_are_not_as_they_should(void **state)
{
	struct fixture *f = *state;
	struct store_view *view;
	struct store_chunk *chunks = NULL;
	size_t n = 0;
	uint8_t data[CHUNK_BYTES];
	uint64_t bytes;
	fill(f);
	fixture_ask(f, "DELETE FROM chunk_pieces WHERE piece = (SELECT min(piece) FROM chunk_pieces)");
	fixture_ask(f, "UPDATE chunk_pieces SET data = x'00' WHERE piece = (SELECT min(piece) FROM chunk_pieces)");
	fixture_open(f);
	assert_int_equal(store_view_open(f->store, &view), 0);
	assert_int_equal(store_view_chunks(view, host_a, STORE_TIER_RAW, 0, 0, INT64_MAX, &chunks, &n), 0);
	assert_int_equal(n, CHUNKS);
	for (size_t round = 0; round < 2; round++) {
		for (size_t i = 0; i < n; i++)
			assert_int_equal(store_view_read(view, &chunks[i], 5, 100, data), i < 2 ? -EUCLEAN : 0);
	}
	free(chunks);
	store_view_close(view);
	assert_int_equal(store_drop(f->store, STORE_TIER_RAW, INT64_MAX, UINT64_MAX, &bytes), 0);
	assert_int_equal(bytes, CHUNKS * CHUNK_BYTES);
	assert_int_equal(fixture_ask(f, "SELECT count(*) FROM chunk_pieces"), 0);
}

/* Pages that cannot be freed are left where they are; everything else goes. */
static void test_damaged_chunks_are_dropped_with_the_others(void **state)
{
	struct fixture *f = *state;
	uint64_t bytes = 0;
	char name[64] = "";
	fill(f);
	struct contents whole = slurp(f->path);
	size_t page = whole.len / PAGE / 2;
	for (; !starts(name, "chunk_pieces/overflow"); page++)
		name_of(f->path, page, name);
	spill(f->path, &whole, page - 1);
	free(whole.bytes);
	fixture_open(f);
	int r = store_drop(f->store, STORE_TIER_RAW, INT64_MAX, UINT64_MAX, &bytes);
	assert_true(r == 0 || r == -EUCLEAN);
	assert_int_equal(fixture_ask(f, "SELECT count(*) FROM chunks"), 0);
	assert_int_equal(fixture_ask(f, "SELECT count(*) FROM buried_chunks"), 0);
	assert_true(fixture_ask(f, "SELECT count(*) FROM chunk_pieces") <= 1);
	assert_int_equal(append_one(f->store, host_a, run_1, 2000, "goes on"), STORE_ACCEPTED);
}

/* Sealed rows go, but for those that cannot. */
static void test_damaged_rows_do_not_keep_the_others(void **state)
{
	struct fixture *f = *state;
	char name[64] = "";
	void *engine = NULL;
	char *line = NULL;
	fill(f);
	struct contents whole = slurp(f->path);
	size_t page = 1;
	for (; !starts(name, "hot/leaf"); page++)
		name_of(f->path, page, name);
	spill(f->path, &whole, page + 1);
	free(whole.bytes);
	assert_int_equal(store_sqlite.open(f->path, &engine, &line), 0);
	assert_int_equal(store_sqlite.expire(engine, 500), 0);
	assert_int_equal(store_sqlite.seal(engine, host_b, INT64_MIN, INT64_MAX / 2, ROWS, NULL, NULL, 0), 0);
	size_t gone = 0;
	for (int i = 0; i < 5; i++) {
		int n = store_sqlite.expire(engine, 500);
		assert_true(n >= 0);
		gone += (size_t)n;
	}
	assert_true(gone >= ROWS - 8 && gone < ROWS);
	store_sqlite.close(engine);
	fixture_open(f);
	assert_int_equal(append_one(f->store, host_b, run_1, 2000, "goes on"), STORE_ACCEPTED);
	struct store_unsealed *unsealed = NULL;
	size_t n = 0;
	assert_int_equal(store_unsealed(f->store, &unsealed, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(unsealed[0].rows, 1);
	free(unsealed);
}

/* What stands in small tables, in each of which a page is overwritten. */
static void fill_small(struct fixture *f)
{
	struct store_user user = {.tenant_id = 1, .username = "ada", .password_hash = "h", .role = STORE_ROLE_ADMIN};
	struct store_key key = {.tenant_id = 1, .name = "first", .hash = {7, 7, 7}};
	assert_true(store_user_put(f->store, &user) >= 0);
	assert_true(store_key_put(f->store, &key) >= 0);
	assert_int_equal(store_setting_put(f->store, "secret", "abc", 3), 0);
	assert_int_equal(store_descriptors_put(f->store, (const uint8_t[32]){9}, (const uint8_t *)"set", 3), 0);
	assert_int_equal(store_seal(f->store, host_a, INT64_MIN, 5, 0, NULL, NULL, 0), 0);
	fill(f);
}

static void expect_hosts(struct fixture *f)
{
	struct store_host *hosts = NULL;
	size_t n = 0;
	assert_int_equal(store_hosts(f->store, &hosts, &n), 0);
	assert_int_equal(n, 2);
	for (size_t i = 0; i < n; i++) {
		bool a = memcmp(hosts[i].host_id, host_a, 16) == 0;
		assert_true(a || memcmp(hosts[i].host_id, host_b, 16) == 0);
		struct store_host again = {
			.tenant_id = 1, .key_id = hosts[i].key_id ? hosts[i].key_id : 77, .first_seen_us = 1};
		memcpy(again.host_id, hosts[i].host_id, 16);
		snprintf(again.hostname, sizeof(again.hostname), "%s", hosts[i].hostname);
		/* Whose key is lost takes the one it comes with, and then no other. */
		assert_int_equal(store_host_register(f->store, &again), 0);
		again.key_id = 78;
		assert_int_equal(store_host_register(f->store, &again), -EACCES);
	}
	store_hosts_free(hosts, n);
}

/* Everything that is known elsewhere is there again. */
static void expect_small(struct fixture *f, const char *table)
{
	struct store_usage usage;
	struct store_user user;
	struct store_key key;
	char value[8];
	bool users = starts(table, "users"), settings = starts(table, "settings");
	assert_int_equal(store_usage(f->store, &usage), 0);
	assert_int_equal(usage.damaged_tables, 1);
	assert_string_equal(usage.damaged, table);
	expect_hosts(f);
	assert_durable(f->store, host_b, run_1, "1-14");
	assert_int_equal(store_key_get(f->store, (const uint8_t[32]){7, 7, 7}, &key), 1);
	assert_int_equal(store_user_get(f->store, "ada", &user), !users);
	assert_int_equal(store_setting_get(f->store, "secret", value, sizeof(value)), settings ? 0 : 3);
	/* A row that is there is not taken twice. */
	assert_int_equal(append_one(f->store, host_b, run_1, 1000, "goes on"), STORE_ACCEPTED);
	assert_int_not_equal(append_one(f->store, host_b, run_1, 3, "again"), STORE_ACCEPTED);
}

static void test_small_tables(void **state)
{
	static const char *const tables[] = {"tenants", "users",    "agent_keys",      "hosts",
					     "streams", "settings", "descriptor_sets", "sealing"};
	struct fixture *f = *state;
	char name[64], leaf[64];
	size_t tried = 0;
	fill_small(f);
	struct contents whole = slurp(f->path);
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		snprintf(leaf, sizeof(leaf), "%s/leaf", tables[i]);
		for (size_t page = 1; page < whole.len / PAGE; page++) {
			spill(f->path, &whole, 0);
			name_of(f->path, page, name);
			if (strcmp(name, leaf) != 0)
				continue;
			spill(f->path, &whole, page);
			fixture_open(f);
			expect_small(f, tables[i]);
			/* And it stays so. */
			fixture_reopen(f);
			expect_hosts(f);
			store_close(f->store);
			f->store = NULL;
			tried++;
		}
	}
	assert_int_equal(tried, sizeof(tables) / sizeof(tables[0]));
	free(whole.bytes);
	unlink(f->path);
}

static bool is_marked(const struct fixture *f)
{
	char mark[128];
	snprintf(mark, sizeof(mark), "%s.mend", f->path);
	return access(mark, F_OK) == 0;
}

static void expect_chunks(struct fixture *f, size_t n_whole)
{
	struct store_view *view;
	struct served s = {0};
	assert_int_equal(store_view_open(f->store, &view), 0);
	look_at_chunks(view, &s);
	store_view_close(view);
	assert_int_equal(s.whole, n_whole);
}

/* The list of free pages: nothing that needs a page can be written, it is said why, and the next start goes without. */
static void test_the_list_of_free_pages(void **state)
{
	static char payload[ROW_BYTES + 1];
	struct fixture *f = *state;
	struct store_usage usage;
	struct waiter w;
	fill(f);
	fixture_ask(f, "DELETE FROM hot");
	fixture_ask(f, "PRAGMA wal_checkpoint(TRUNCATE)");
	struct contents whole = slurp(f->path);
	size_t trunk = (size_t)whole.bytes[34] << 8 | whole.bytes[35];
	assert_in_range(trunk, 2, whole.len / PAGE);
	spill(f->path, &whole, trunk - 1);
	free(whole.bytes);
	fixture_open(f);
	expect_chunks(f, CHUNKS);
	waiter_init(&w);
	memset(payload, 's', ROW_BYTES);
	for (uint64_t i = 1; i <= ROWS; i++) {
		struct store_snapshot s = make_snapshot(i + 2000, payload);
		assert_int_equal(store_append(f->store, host_b, run_1, &s, 1, waiter_done, &w), 0);
	}
	wait_status(f->store, "corrupt");
	assert_true(is_marked(f));
	assert_int_equal(store_usage(f->store, &usage), 0);
	assert_int_equal(usage.damaged_tables, 1);
	assert_non_null(strstr(usage.damaged, "restart"));
	expect_chunks(f, CHUNKS);
	fixture_reopen(f);
	assert_false(is_marked(f));
	for (uint64_t i = 1; i <= ROWS; i++)
		assert_int_equal(append_one(f->store, host_b, run_1, i + 3000, payload), STORE_ACCEPTED);
	expect_chunks(f, CHUNKS);
	assert_int_equal(store_usage(f->store, &usage), 0);
	assert_int_equal(usage.damaged_tables, 0);
}

/* Who owns a page is asked only when pages are moved. */
static void test_the_list_of_owners(void **state)
{
	struct fixture *f = *state;
	uint64_t bytes = 0;
	fill(f);
	struct contents whole = slurp(f->path);
	spill(f->path, &whole, 1);
	free(whole.bytes);
	fixture_open(f);
	expect_chunks(f, CHUNKS);
	int r = store_drop(f->store, STORE_TIER_RAW, INT64_MAX, UINT64_MAX, &bytes);
	assert_int_equal(r, 0);
	expect_chunks(f, 0);
	assert_int_equal(append_one(f->store, host_b, run_1, 1000, "goes on"), STORE_ACCEPTED);
	assert_true(is_marked(f));
	fixture_reopen(f);
	assert_false(is_marked(f));
	assert_int_equal(store_drop(f->store, STORE_TIER_RAW, INT64_MAX, UINT64_MAX, &bytes), 0);
	assert_int_equal(append_one(f->store, host_b, run_1, 1001, "goes on"), STORE_ACCEPTED);
}

enum { LISTED = 400 };

/* A page of the list that is only read: the first who meets it is refused, then the rest is there, and what is lost is
 * told where it was. */
static void test_a_list_around_a_page(void **state)
{
	struct fixture *f = *state;
	struct store_view *view;
	struct store_chunk *chunks = NULL;
	bool there[LISTED] = {false};
	char name[64] = "";
	size_t n = 0, good = 0, leaves = 0;
	for (int64_t i = 0; i < LISTED; i++) {
		struct store_chunk chunk = {.tier = STORE_TIER_RAW,
					    .first_us = 1000 * (i + 1),
					    .last_us = 1000 * (i + 1) + 900,
					    .made_us = 1,
					    .len = 4,
					    .data = (const uint8_t *)"some"};
		assert_int_equal(store_replace(f->store, host_a, NULL, 0, &chunk, 1), 0);
	}
	store_close(f->store);
	f->store = NULL;
	struct contents whole = slurp(f->path);
	size_t page = 1;
	for (; leaves < 3 && page < whole.len / PAGE; page++) {
		name_of(f->path, page, name);
		leaves += starts(name, "chunks/leaf");
	}
	assert_int_equal(leaves, 3);
	spill(f->path, &whole, page - 1);
	free(whole.bytes);
	fixture_open(f);
	assert_int_equal(store_view_open(f->store, &view), 0);
	assert_int_equal(store_view_chunks(view, host_a, STORE_TIER_RAW, 0, 0, INT64_MAX, &chunks, &n), -EUCLEAN);
	store_view_close(view);
	assert_int_equal(append_one(f->store, host_b, run_1, 2000, "goes on"), STORE_ACCEPTED);
	assert_int_equal(store_view_open(f->store, &view), 0);
	assert_int_equal(store_view_chunks(view, host_a, STORE_TIER_RAW, 0, 0, INT64_MAX, &chunks, &n), 0);
	for (size_t i = 0; i < n; i++) {
		uint8_t data[4];
		int64_t first = chunks[i].first_us / 1000 - 1, last = chunks[i].last_us / 1000 - 1;
		int r = store_view_read(view, &chunks[i], 0, sizeof(data), data);
		assert_int_equal(r, chunks[i].damaged ? -EUCLEAN : 0);
		good += !chunks[i].damaged;
		for (int64_t k = first < 0 ? 0 : first; k <= last && k < LISTED; k++)
			there[k] = true;
	}
	assert_in_range(good, LISTED - 250, LISTED - 20); /* a page holds some 150 */
	assert_int_equal(n, good + 1);
	for (size_t i = 0; i < LISTED; i++)
		assert_true(there[i]);
	free(chunks);
	store_view_close(view);
	struct store_usage usage;
	assert_int_equal(store_usage(f->store, &usage), 0);
	assert_int_equal(usage.damaged_tables, 1);
}

#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_STORE(test_each_page),
		WITH_STORE(test_pieces_that_are_not_as_they_should),
		WITH_STORE(test_damaged_chunks_are_dropped_with_the_others),
		WITH_STORE(test_damaged_rows_do_not_keep_the_others),
		WITH_STORE(test_a_list_around_a_page),
		WITH_STORE(test_small_tables),
		WITH_STORE(test_the_list_of_free_pages),
		WITH_STORE(test_the_list_of_owners),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
