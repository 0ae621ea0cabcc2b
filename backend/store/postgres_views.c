/* A view is a transaction that sees one state (REPEATABLE READ) on a connection of its own. Its tables are locked
 * against being dropped from before that state is fixed: a partition that went meanwhile would be missing from it.
 *
 * Whoever reads a chunk begins with its head, and then reads the next chunk's: the heads of the next chunks in a list
 * come along with the first one, in one journey. (What follows a later read is hardly ever asked for next.) A read that
 * fails because something is damaged must not end the transaction: each begins at a savepoint. */
#include "backend/store/postgres_engine.h"

#include "common/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HEAD_BYTES 8192
#define HEADS_AT_ONCE 64
#define HEADS_MAX_BYTES (4u << 20) /* kept in a view */
#define AHEAD_US (30 * 24 * 3600 * 1000000ll)
#define ID_BYTES (HEADS_AT_ONCE * 12 + 64)

/* A chunk that was listed. */
struct listed {
	int64_t id, host, statistic, window_us, key; /* what partitions are chosen by: made_us or window_us */
	enum postgres_table table;
	uint64_t len;
	uint8_t *head;
	size_t head_len;
	bool asked; /* for its head */
};

struct postgres_view {
	struct postgres_engine *engine;
	struct postgres_link *link;
	struct listed *listed; /* in the order of the lists */
	size_t n, cap;
	uint32_t *slots; /* id -> index + 1 */
	size_t n_slots;
	size_t head_bytes;
	struct buf ids;
};

static const char begin[] =
	"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;"
	"LOCK TABLE ONLY hot, ONLY sealed_raw, ONLY compacted_raw, ONLY sealed_processes, ONLY compacted_processes,"
	" ONLY sealed_minute, ONLY compacted_minute IN ACCESS SHARE MODE;"
	"SAVEPOINT state; SELECT 1";

int postgres_view_open(void *engine, bool wait, void **ret_view)
{
	struct postgres_engine *e = engine;
	struct postgres_view *view = calloc(1, sizeof(*view));
	if (!view)
		return -ENOMEM;
	int r = postgres_borrow_view(e, wait, &view->link);
	if (r < 0) {
		free(view);
		return r;
	}
	view->engine = e;
	view->ids = BUF_INIT(ID_BYTES);
	r = postgres_exec(view->link, begin, NULL);
	if (r == -ENOTCONN) {
		r = postgres_reconnect(e, view->link);
		if (r == 0)
			r = postgres_exec(view->link, begin, NULL);
	}
	if (r < 0) {
		postgres_view_close(view);
		return r;
	}
	*ret_view = view;
	return 0;
}

void postgres_view_close(void *arg)
{
	struct postgres_view *view = arg;
	if (!view)
		return;
	if (view->link->conn && postgres_exec(view->link, "COMMIT", NULL) < 0)
		postgres_disconnect(view->link);
	postgres_return(view->engine, view->link);
	for (size_t i = 0; i < view->n; i++)
		free(view->listed[i].head);
	free(view->listed);
	free(view->slots);
	buf_free(&view->ids);
	free(view);
}

struct postgres_link *postgres_view_link(void *arg)
{
	struct postgres_view *view = arg;
	return view->link;
}

/* What failed has ended the transaction but for the savepoint. */
static int recover(struct postgres_view *view, int error)
{
	if (view->link->conn && postgres_exec(view->link, "ROLLBACK TO SAVEPOINT state", NULL) < 0)
		postgres_disconnect(view->link);
	return error;
}

/* fn may have failed for reasons of its own, or have read what is damaged. */
static int recover_rows(struct postgres_view *view, int error)
{
	bool in_error = view->link->conn && PQtransactionStatus(view->link->conn) == PQTRANS_INERROR;
	return in_error ? recover(view, error) : error;
}

int postgres_view_rows(void *arg, const uint8_t host_id[16], int64_t from_us, int64_t to_us, bool backwards,
		       store_row_fn fn, void *fn_arg)
{
	struct postgres_view *view = arg;
	int r = postgres_rows(view->link, host_id, from_us, to_us, backwards, fn, fn_arg);
	return recover_rows(view, r);
}

int postgres_view_row_heads(void *arg, const uint8_t host_id[16], int64_t from_us, int64_t to_us, size_t head,
			    store_row_fn fn, void *fn_arg)
{
	struct postgres_view *view = arg;
	return recover_rows(view, postgres_row_heads(view->link, host_id, from_us, to_us, head, fn, fn_arg));
}

/* --- lists ------------------------------------------------------------------------------------------------------- */

static uint32_t *slot_of(const struct postgres_view *view, int64_t id)
{
	for (size_t i = (size_t)((uint64_t)id * 0x9e3779b97f4a7c15u >> 20);; i++) {
		uint32_t *slot = &view->slots[i & (view->n_slots - 1)];
		if (*slot == 0 || view->listed[*slot - 1].id == id)
			return slot;
	}
}

static int reserve(struct postgres_view *view, size_t more)
{
	if (view->n + more > view->cap) {
		size_t cap = (view->n + more) * 2;
		struct listed *listed = reallocarray(view->listed, cap, sizeof(*listed));
		if (!listed)
			return -ENOMEM;
		view->listed = listed;
		view->cap = cap;
	}
	if ((view->n + more) * 2 <= view->n_slots)
		return 0;
	size_t n_slots = 64;
	while (n_slots < (view->n + more) * 2)
		n_slots *= 2;
	uint32_t *slots = calloc(n_slots, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	free(view->slots);
	view->slots = slots;
	view->n_slots = n_slots;
	for (size_t i = 0; i < view->n; i++)
		*slot_of(view, view->listed[i].id) = (uint32_t)i + 1;
	return 0;
}

static void list(struct postgres_view *view, int64_t host, const struct store_chunk *chunk)
{
	uint32_t *slot = slot_of(view, chunk->id);
	if (*slot != 0)
		return;
	view->listed[view->n] = (struct listed){
		.id = chunk->id,
		.host = host,
		.statistic = chunk->statistic,
		.window_us = chunk->window_us,
		.key = chunk->compacted ? chunk->window_us : chunk->made_us,
		.table = postgres_chunk_table(chunk->tier, chunk->compacted),
		.len = chunk->len,
	};
	*slot = (uint32_t)++view->n;
}

static struct store_chunk read_chunk(const PGresult *result, int i, enum store_tier tier, uint32_t statistic,
				     bool compacted)
{
	int64_t id = postgres_get_int(result, i, 1);
	return (struct store_chunk){
		.id = id,
		.tier = tier,
		.statistic = statistic,
		.compacted = compacted,
		.window_us = postgres_get_int(result, i, 2),
		.first_us = postgres_get_int(result, i, 3),
		.last_us = postgres_get_int(result, i, 4),
		.made_us = postgres_get_int(result, i, 5),
		.generation = id,
		.len = (uint64_t)postgres_get_int(result, i, 6),
	};
}

static int take_list(struct postgres_view *view, const PGresult *result, size_t n, enum store_tier tier,
		     uint32_t statistic, struct store_chunk **ret)
{
	struct store_chunk *chunks = calloc(n ? n : 1, sizeof(*chunks));
	int r = chunks ? reserve(view, n) : -ENOMEM;
	if (r < 0) {
		free(chunks);
		return r;
	}
	for (size_t i = 0; i < n; i++) {
		bool compacted = postgres_get_int(result, (int)i, 7) != 0;
		chunks[i] = read_chunk(result, (int)i, tier, statistic, compacted);
		list(view, postgres_get_int(result, (int)i, 0), &chunks[i]);
	}
	*ret = chunks;
	return 0;
}

/* A list that is put together of what can be read. */
struct mending {
	struct postgres_view *view;
	enum store_tier tier;
	uint32_t statistic;
	bool compacted;
	struct store_chunk *chunks;
	size_t n;
};

static int make_room(struct mending *m, size_t more)
{
	struct store_chunk *chunks = reallocarray(m->chunks, m->n + more + 1, sizeof(*chunks));
	if (!chunks)
		return -ENOMEM;
	m->chunks = chunks;
	return 0;
}

static int take_some(void *arg, const PGresult *result, size_t n)
{
	struct mending *m = arg;
	int r = make_room(m, n);
	if (r == 0)
		r = reserve(m->view, n);
	for (size_t i = 0; i < n && r == 0; i++) {
		m->chunks[m->n] = read_chunk(result, (int)i, m->tier, m->statistic, m->compacted);
		list(m->view, postgres_get_int(result, (int)i, 0), &m->chunks[m->n++]);
	}
	return r;
}

static int take_lost(struct mending *m, const struct postgres_lost *lost, size_t n)
{
	int r = make_room(m, n);
	for (size_t i = 0; i < n && r == 0; i++) {
		bool ends = lost[i].last_window_us > INT64_MAX - POSTGRES_WINDOW_MAX_US;
		m->chunks[m->n++] = (struct store_chunk){
			.id = lost[i].first_id,
			.generation = lost[i].first_id,
			.tier = m->tier,
			.statistic = m->statistic,
			.compacted = m->compacted,
			.window_us = lost[i].first_window_us,
			.first_us = lost[i].first_window_us,
			.last_us = ends ? INT64_MAX : lost[i].last_window_us + POSTGRES_WINDOW_MAX_US - 1,
			.damaged = true,
		};
	}
	return r;
}

/* How long a window is nobody has said: it ends where another begins. */
static void end_lost(struct mending *m)
{
	for (size_t i = 0; i < m->n; i++) {
		struct store_chunk *lost = &m->chunks[i];
		bool ends = lost->last_us == INT64_MAX;
		int64_t last_window_us = ends ? INT64_MAX : lost->last_us - POSTGRES_WINDOW_MAX_US + 1;
		for (size_t k = 0; k < m->n && lost->damaged; k++) {
			int64_t next_us = m->chunks[k].window_us;
			if (next_us > last_window_us && next_us <= lost->last_us)
				lost->last_us = next_us - 1;
		}
	}
}

/* What ends before the time that was asked for. */
static void leave_out(struct mending *m, int64_t from_us)
{
	size_t n = 0;
	for (size_t i = 0; i < m->n; i++) {
		if (m->chunks[i].last_us >= from_us)
			m->chunks[n++] = m->chunks[i];
	}
	m->n = n;
}

static int by_time(const void *a, const void *b)
{
	const struct store_chunk *x = a, *y = b;
	if (x->first_us != y->first_us)
		return x->first_us < y->first_us ? -1 : 1;
	return (x->generation > y->generation) - (x->generation < y->generation);
}

static int list_around(struct mending *m, struct postgres_around *around, struct store_chunk **ret, size_t *ret_n)
{
	int r = 0;
	for (int compacted = 0; compacted < 2 && r == 0; compacted++) {
		struct postgres_lost *lost = NULL;
		size_t n = 0;
		m->compacted = compacted != 0;
		around->table = postgres_chunk_table(m->tier, m->compacted);
		r = postgres_list_around(m->view->link, around, &lost, &n);
		if (r == 0)
			r = take_lost(m, lost, n);
		free(lost);
	}
	if (r < 0) {
		free(m->chunks);
		return r;
	}
	end_lost(m);
	leave_out(m, around->from_us);
	qsort(m->chunks, m->n, sizeof(*m->chunks), by_time);
	*ret = m->chunks;
	*ret_n = m->n;
	return 0;
}

int postgres_view_chunks(void *arg, const uint8_t host_id[16], enum store_tier tier, uint32_t statistic,
			 int64_t from_us, int64_t to_us, struct store_chunk **ret, size_t *ret_n)
{
	struct postgres_view *view = arg;
	struct postgres_parameters p = {0};
	PGresult *result = NULL;
	if (from_us > to_us || tier < STORE_TIER_RAW || tier >= STORE_TIER_END)
		return -EINVAL;
	postgres_add_bytes(&p, host_id, 16);
	postgres_add_int(&p, statistic);
	postgres_add_int(&p, from_us);
	postgres_add_int(&p, to_us);
	int64_t first_window_us =
		from_us < INT64_MIN + POSTGRES_WINDOW_MAX_US ? INT64_MIN : from_us - POSTGRES_WINDOW_MAX_US;
	postgres_add_int(&p, first_window_us);
	int rows = postgres_run(view->link, (enum postgres_statement)(PG_CHUNKS + tier - STORE_TIER_RAW), &p, &result);
	if (rows == -EUCLEAN) {
		struct mending mending = {.view = view, .tier = tier, .statistic = statistic};
		struct postgres_around around = {.host_id = host_id,
						 .statistic = statistic,
						 .from_us = from_us,
						 .to_us = to_us,
						 .first_window_us = first_window_us,
						 .take = take_some,
						 .arg = &mending};
		return list_around(&mending, &around, ret, ret_n);
	}
	if (rows < 0)
		return recover(view, rows);
	int r = take_list(view, result, (size_t)rows, tier, statistic, ret);
	PQclear(result);
	if (r == 0)
		*ret_n = (size_t)rows;
	return r;
}

/* A chunk that another view has listed: found without its host, which is the longer way. 0, -ENOENT, negative errno. */
static int adopt(struct postgres_view *view, const struct store_chunk *chunk)
{
	struct postgres_parameters p = {0};
	PGresult *result = NULL;
	struct store_chunk found = *chunk;
	if (chunk->tier < STORE_TIER_RAW || chunk->tier >= STORE_TIER_END)
		return -EINVAL;
	enum postgres_table table = postgres_chunk_table(chunk->tier, chunk->compacted);
	postgres_add_int(&p, chunk->id);
	postgres_add_int(&p, chunk->compacted ? chunk->window_us : chunk->made_us);
	int rows = postgres_run_around(view->link, (enum postgres_statement)(PG_CHUNK_HOST + table), &p, &result);
	if (rows < 0)
		return recover(view, rows);
	int r = rows > 0 ? reserve(view, 1) : -ENOENT;
	if (r == 0) {
		found.len = (uint64_t)postgres_get_int(result, 0, 1);
		list(view, postgres_get_int(result, 0, 0), &found);
	}
	PQclear(result);
	return r;
}

/* --- reading ----------------------------------------------------------------------------------------------------- */

static void forget_heads(struct postgres_view *view)
{
	for (size_t i = 0; i < view->n; i++) {
		free(view->listed[i].head);
		view->listed[i].head = NULL;
	}
	view->head_bytes = 0;
}

/* How many chunks from the i-th on lie together and have not been asked for their heads. */
static size_t run_of(const struct postgres_view *view, size_t i)
{
	const struct listed *first = &view->listed[i];
	size_t n = 0;
	for (const struct listed *c = first; i + n < view->n && n < HEADS_AT_ONCE; c++, n++) {
		if (c->asked || c->host != first->host || c->table != first->table || c->statistic != first->statistic)
			break;
	}
	return n;
}

static int ask_heads(struct postgres_view *view, struct listed *first, size_t n, PGresult **ret)
{
	struct postgres_parameters p = {0};
	int64_t low = first->key, high = first->key;
	int r = postgres_array_begin(&view->ids, POSTGRES_OID_INT8, n);
	for (size_t i = 0; i < n && r == 0; i++) {
		first[i].asked = true;
		low = first[i].key < low ? first[i].key : low;
		high = first[i].key > high ? first[i].key : high;
		r = postgres_array_int(&view->ids, first[i].id);
	}
	if (r < 0)
		return r;
	postgres_add_int(&p, first->host);
	postgres_add_int(&p, first->statistic);
	postgres_add_bytes(&p, view->ids.data, view->ids.len);
	postgres_add_int(&p, low);
	postgres_add_int(&p, high);
	postgres_add_int(&p, HEAD_BYTES);
	return postgres_run(view->link, (enum postgres_statement)(PG_CHUNK_HEADS + first->table), &p, ret);
}

/* Whatever goes wrong here is found out by reading the chunk itself. */
static void fetch_heads(struct postgres_view *view, size_t i)
{
	PGresult *result = NULL;
	size_t n = run_of(view, i);
	if (n == 0)
		return;
	if (view->head_bytes + n * HEAD_BYTES > HEADS_MAX_BYTES)
		forget_heads(view);
	int rows = ask_heads(view, &view->listed[i], n, &result);
	if (rows < 0)
		(void)recover(view, rows);
	for (int row = 0; row < rows; row++) {
		uint32_t slot = *slot_of(view, postgres_get_int(result, row, 0));
		struct listed *c = slot ? &view->listed[slot - 1] : NULL;
		if (c && !c->head && postgres_copy_bytes(result, row, 1, &c->head, &c->head_len) == 0)
			view->head_bytes += c->head_len;
	}
	PQclear(result);
}

static int read_range(struct postgres_view *view, const struct listed *c, uint64_t offset, size_t len, uint8_t *data)
{
	struct postgres_parameters p = {0};
	PGresult *result = NULL;
	size_t have = 0;
	postgres_add_int(&p, c->host);
	postgres_add_int(&p, c->statistic);
	postgres_add_int(&p, c->window_us);
	postgres_add_int(&p, c->id);
	postgres_add_int(&p, c->key);
	postgres_add_int(&p, (int64_t)offset);
	postgres_add_int(&p, (int64_t)len);
	int rows = postgres_run_around(view->link, (enum postgres_statement)(PG_CHUNK_READ + c->table), &p, &result);
	if (rows < 0)
		return recover(view, rows);
	const uint8_t *bytes = rows > 0 ? postgres_get_bytes(result, 0, 0, &have) : NULL;
	/* The list said that it is there, and how long it is. */
	int r = bytes && have == len ? 0 : -EUCLEAN;
	if (r == 0)
		memcpy(data, bytes, len);
	PQclear(result);
	return r;
}

int postgres_view_read(void *arg, const struct store_chunk *chunk, uint64_t offset, size_t len, uint8_t *data)
{
	struct postgres_view *view = arg;
	uint32_t slot = view->n_slots ? *slot_of(view, chunk->id) : 0;
	if (slot == 0) {
		int r = adopt(view, chunk);
		if (r < 0)
			return r;
		slot = (uint32_t)view->n;
	}
	struct listed *c = &view->listed[slot - 1];
	if (offset > c->len || len > c->len - offset)
		return -ERANGE;
	if (len == 0)
		return 0;
	if (offset + len <= HEAD_BYTES && !c->asked)
		fetch_heads(view, slot - 1);
	if (c->head && offset + len <= c->head_len) {
		memcpy(data, c->head + offset, len);
		return 0;
	}
	return read_range(view, c, offset, len, data);
}

static int no_row(void *arg, const struct store_row *row)
{
	(void)arg;
	(void)row;
	return 0;
}

void postgres_views_ahead(struct postgres_engine *e)
{
	static const enum store_tier tiers[] = {STORE_TIER_RAW, STORE_TIER_MINUTE};
	const uint8_t nobody[16] = {0};
	const int64_t now_us = clock_wall_us(), from_us = now_us - AHEAD_US;
	void *view;
	int r = postgres_view_open(e, false, &view);
	if (r < 0)
		return;
	for (size_t i = 0; r == 0 && i < sizeof(tiers) / sizeof(tiers[0]); i++) {
		struct store_chunk *chunks = NULL;
		size_t n;
		r = postgres_view_chunks(view, nobody, tiers[i], 0, from_us, now_us, &chunks, &n);
		free(chunks);
	}
	if (r == 0)
		r = postgres_view_row_heads(view, nobody, from_us, now_us, 0, no_row, NULL);
	postgres_view_close(view);
}
