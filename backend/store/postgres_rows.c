/* What is durable, and rows of a host by time. A page is one result; the next begins behind the last row's (agent_us,
 * sequence, instance), so that rows of one moment are neither lost nor doubled, and the connection is free between
 * pages: whoever is given rows may read chunks through the same view.
 *
 * A payload that cannot be read makes its page fail: the rows are read one by one then, and the one that it is of is
 * told as damaged by what the list says of it. When the list cannot be read either, the row itself is lost
 * (postgres_lost.c). */
#include "backend/store/postgres_engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_ROWS 64
#define PAGE_HEADS 1024
#define PAGE_ROWS_FIRST 8
#define PAGE_BYTES_ENOUGH (2u << 20)
#define HEAD_WHOLE (1u << 20) /* a longer beginning is as good as all */
#define RAW 0

enum { SEQUENCE, AGENT_US, RECEIVED_US, INSTANCE, DESCRIPTOR_HASH, ENCODING, PAYLOAD, BOOTTIME_US, WHOLE_LEN };

int postgres_durable(void *engine, const uint8_t host_id[16], const uint8_t instance[16], struct store_range **ret,
		     size_t *ret_n)
{
	struct postgres_parameters p = {0};
	PGresult *result = NULL;
	struct store_range *ranges = NULL;
	postgres_add_bytes(&p, host_id, 16);
	postgres_add_bytes(&p, instance, 16);
	int rows = postgres_ask(engine, PG_DURABLE, &p, &result);
	if (rows < 0)
		return rows;
	if (rows > 0) {
		ranges = malloc((size_t)rows * sizeof(*ranges));
		if (!ranges) {
			PQclear(result);
			return -ENOMEM;
		}
	}
	for (int i = 0; i < rows; i++)
		ranges[i] = (struct store_range){(uint64_t)postgres_get_int(result, i, 0),
						 (uint64_t)postgres_get_int(result, i, 1)};
	PQclear(result);
	*ret = ranges;
	*ret_n = (size_t)rows;
	return 0;
}

/* What a list says of a row. Of two rows with one number the instances differ. */
static int read_listed(const PGresult *result, int i, struct store_row *ret)
{
	*ret = (struct store_row){
		.sequence = (uint64_t)postgres_get_int(result, i, SEQUENCE),
		.agent_us = postgres_get_int(result, i, AGENT_US),
		.received_us = postgres_get_int(result, i, RECEIVED_US),
	};
	uint64_t words[2], id;
	if (postgres_copy_fixed(result, i, INSTANCE, ret->instance, sizeof(ret->instance)) < 0)
		return -EUCLEAN;
	memcpy(words, ret->instance, sizeof(words));
	id = ret->sequence ^ words[0] ^ (words[1] * 0x9e3779b97f4a7c15u);
	memcpy(&ret->id, &id, sizeof(id));
	return 0;
}

static int read_row(const PGresult *result, int i, struct store_row *ret)
{
	if (read_listed(result, i, ret) < 0 ||
	    postgres_copy_fixed(result, i, DESCRIPTOR_HASH, ret->descriptor_hash, sizeof(ret->descriptor_hash)) < 0 ||
	    postgres_get_int(result, i, ENCODING) != RAW)
		return -EUCLEAN;
	ret->payload = postgres_get_bytes(result, i, PAYLOAD, &ret->len);
	return 0;
}

struct newest {
	uint8_t *payload; /* malloc'd */
	size_t len;
	uint8_t hash[32];
	int64_t agent_us, received_us;
};

static int take_latest(const PGresult *result, struct newest *ret)
{
	struct store_row row;
	if (read_row(result, 0, &row) < 0)
		return -EUCLEAN;
	if (postgres_copy_bytes(result, 0, PAYLOAD, &ret->payload, &ret->len) < 0)
		return -ENOMEM;
	memcpy(ret->hash, row.descriptor_hash, sizeof(ret->hash));
	ret->agent_us = row.agent_us;
	ret->received_us = row.received_us;
	return 1;
}

/* The newest that can be read of those that are not sealed. */
static int take_newest(void *arg, const struct store_row *row)
{
	struct newest *newest = arg;
	if (row->damaged)
		return 0;
	newest->payload = malloc(row->len > 0 ? row->len : 1);
	if (!newest->payload)
		return -ENOMEM;
	memcpy(newest->payload, row->payload, row->len);
	newest->len = row->len;
	memcpy(newest->hash, row->descriptor_hash, sizeof(newest->hash));
	newest->agent_us = row->agent_us;
	newest->received_us = row->received_us;
	return 1;
}

static int latest_around(void *engine, const uint8_t host_id[16], struct newest *ret)
{
	struct newest sealed = {.len = 0};
	struct postgres_parameters p = {0};
	PGresult *result = NULL;
	void *view;
	int r = postgres_view_open(engine, true, &view);
	if (r < 0)
		return r;
	r = postgres_view_rows(view, host_id, INT64_MIN, INT64_MAX, true, take_newest, ret);
	postgres_view_close(view);
	postgres_add_bytes(&p, host_id, 16);
	int rows = postgres_ask(engine, PG_LATEST_SEALED, &p, &result);
	int kept = rows > 0 ? take_latest(result, &sealed) : rows;
	PQclear(result);
	if (kept > 0 && (r <= 0 || sealed.agent_us > ret->agent_us)) {
		free(ret->payload);
		*ret = sealed;
		return 1;
	}
	free(sealed.payload);
	return r != 0 ? r : kept;
}

int postgres_latest(void *engine, const uint8_t host_id[16], uint8_t **ret_payload, size_t *ret_len,
		    uint8_t ret_hash[32], int64_t *ret_received_us)
{
	struct postgres_parameters p = {0};
	struct newest latest = {.len = 0};
	PGresult *result = NULL;
	postgres_add_bytes(&p, host_id, 16);
	int r = postgres_ask(engine, PG_LATEST, &p, &result);
	if (r > 0)
		r = take_latest(result, &latest);
	PQclear(result);
	if (r == -EUCLEAN)
		r = latest_around(engine, host_id, &latest);
	if (r <= 0)
		return r;
	*ret_payload = latest.payload;
	*ret_len = latest.len;
	memcpy(ret_hash, latest.hash, sizeof(latest.hash));
	*ret_received_us = latest.received_us;
	return r;
}

struct page {
	enum postgres_statement statement;
	int64_t head; /* bytes of each payload; PG_ROW_HEADS only */
	bool backwards;
	struct postgres_place at; /* of the last row, as the database orders them */
	int64_t end_us;		  /* of all pages */
	int64_t rows;		  /* to ask for */
	enum postgres_way way;
	/* What can be read ends before this, behind `at`. */
	bool has_lost;
	struct postgres_lost_rows lost;
	struct postgres_losing losing;
};

/* Where the rows end that can be read. Nothing stands before the first moment. */
static int64_t end_of(const struct page *page)
{
	if (!page->has_lost)
		return page->end_us;
	return page->backwards ? page->lost.first_us + (page->lost.first_us < INT64_MAX)
			       : page->lost.first_us - (page->lost.first_us > INT64_MIN);
}

static int read_page(struct postgres_link *link, const uint8_t host_id[16], const struct page *page, PGresult **ret)
{
	struct postgres_parameters p = {0};
	postgres_add_bytes(&p, host_id, 16);
	postgres_add_int(&p, page->at.agent_us);
	postgres_add_int(&p, page->at.sequence);
	postgres_add_bytes(&p, page->at.instance, 16);
	postgres_add_int(&p, end_of(page));
	postgres_add_int(&p, page->rows);
	if (page->statement == PG_ROW_HEADS)
		postgres_add_int(&p, page->head);
	return postgres_run(link, page->statement, &p, ret);
}

static void go_behind(struct page *page, const struct store_row *row)
{
	page->at.agent_us = row->agent_us;
	page->at.sequence = (int64_t)row->sequence;
	memcpy(page->at.instance, row->instance, sizeof(page->at.instance));
}

static int hand_out(const PGresult *result, int n, store_row_fn fn, void *arg, struct page *page, size_t *ret_bytes)
{
	struct store_row row;
	int r = 0;
	*ret_bytes = 0;
	for (int i = 0; i < n && r == 0; i++) {
		r = page->statement == PG_ROW_LIST ? read_listed(result, i, &row) : read_row(result, i, &row);
		if (r < 0)
			return r;
		if (page->statement != PG_ROW_LIST) {
			row.boottime_us = (uint64_t)postgres_get_int(result, i, BOOTTIME_US);
			row.whole_len = (size_t)postgres_get_int(result, i, WHOLE_LEN);
		}
		go_behind(page, &row);
		*ret_bytes += row.len;
		r = fn(arg, &row);
	}
	return r;
}

/* --- damage ------------------------------------------------------------------------------------------------------ */

static int tell_damaged(struct store_row *row, store_row_fn fn, void *arg)
{
	static const uint8_t no_message[1] = {0};
	row->payload = no_message;
	row->len = row->whole_len = sizeof(no_message);
	row->damaged = true;
	return fn(arg, row);
}

/* The next row, of which nothing but the list can be read. -EUCLEAN: that neither. */
static int hand_out_damaged(struct postgres_link *link, const uint8_t host_id[16], struct page *page, store_row_fn fn,
			    void *arg)
{
	struct page one = *page;
	struct store_row row;
	PGresult *result = NULL;
	one.statement = page->backwards ? PG_ROW_LIST_BACKWARDS : PG_ROW_LIST;
	int n = read_page(link, host_id, &one, &result);
	int r = n < 0 ? n : n == 0 ? -EIO : read_listed(result, 0, &row);
	PQclear(result);
	if (r < 0)
		return r;
	go_behind(page, &row);
	return tell_damaged(&row, fn, arg);
}

/* The rows at hand lie on a page that cannot be read, or the page of an index that leads there cannot. */
static int look_for_lost(struct postgres_link *link, const uint8_t host_id[16], struct page *page)
{
	if (page->has_lost || page->way == POSTGRES_BY_TABLE)
		return -EUCLEAN; /* it could be read a moment ago */
	if (page->way == POSTGRES_BY_INDEX) {
		int found = postgres_lose_rows(link, host_id, &page->at, page->end_us, &page->losing, &page->lost);
		page->has_lost = found > 0;
		return found < 0 ? found : 0;
	}
	struct page one = *page;
	one.statement = page->backwards ? PG_ROW_LIST_BACKWARDS : PG_ROW_LIST;
	one.rows = 1;
	int r = postgres_go_on(link, POSTGRES_BY_TABLE);
	int n = r < 0 ? r : read_page(link, host_id, &one, NULL);
	if (n < 0 && n != -EUCLEAN)
		return n;
	page->way = n < 0 ? POSTGRES_BY_INDEX : POSTGRES_BY_TABLE;
	return n < 0 ? postgres_go_on(link, page->way) : 0;
}

/* A page cannot be read: first one row at a time, until it is found which of them it is. */
static int go_around(struct postgres_link *link, const uint8_t host_id[16], struct page *page, store_row_fn fn,
		     void *arg)
{
	bool list = page->statement == PG_ROW_LIST;
	int r = postgres_go_on(link, page->way);
	if (r < 0)
		return r;
	if (!list && page->rows > 1) {
		page->rows = 1;
		return 0;
	}
	if (!list) {
		r = hand_out_damaged(link, host_id, page, fn, arg);
		if (r != -EUCLEAN)
			return r;
		r = postgres_go_on(link, page->way);
	}
	return r < 0 ? r : look_for_lost(link, host_id, page);
}

/* All before it is handed out. */
static int hand_out_lost(struct page *page, store_row_fn fn, void *arg)
{
	const int64_t moments[] = {page->lost.first_us, page->lost.last_us};
	int r = 0;
	page->has_lost = false;
	page->at.agent_us = page->lost.last_us;
	page->at.sequence = page->backwards ? INT64_MIN : INT64_MAX;
	memset(page->at.instance, page->backwards ? 0 : 0xff, sizeof(page->at.instance));
	for (int i = 0; i < 2 && r == 0; i++) {
		uint64_t id = (uint64_t)moments[i] * 0x9e3779b97f4a7c15u;
		struct store_row row = {.agent_us = moments[i], .received_us = moments[i], .lost = true};
		memcpy(&row.id, &id, sizeof(row.id));
		if (i == 0 || moments[1] != moments[0])
			r = tell_damaged(&row, fn, arg);
	}
	return r;
}

static int read_on(struct postgres_link *link, const uint8_t host_id[16], struct page *page, int64_t most,
		   store_row_fn fn, void *arg)
{
	for (;;) {
		PGresult *result = NULL;
		size_t bytes = 0;
		int n = read_page(link, host_id, page, &result);
		if (n == -EUCLEAN) {
			n = go_around(link, host_id, page, fn, arg);
			if (n == 0)
				continue;
			return n;
		}
		if (n < 0)
			return n;
		int r = hand_out(result, n, fn, arg, page, &bytes);
		PQclear(result);
		bool all = n < page->rows;
		if (r == 0 && all && page->has_lost)
			r = hand_out_lost(page, fn, arg);
		else if (all)
			return r;
		if (r != 0)
			return r;
		/* As many as are likely to be enough. */
		size_t mean = bytes / (size_t)(n > 0 ? n : 1) + 1;
		page->rows = (int64_t)(PAGE_BYTES_ENOUGH / mean);
		page->rows = page->rows < 1 ? 1 : page->rows > most ? most : page->rows;
	}
}

static int read_pages(struct postgres_link *link, const uint8_t host_id[16], struct page *page, int64_t most,
		      store_row_fn fn, void *arg)
{
	page->losing.backwards = page->backwards;
	int r = read_on(link, host_id, page, most, fn, arg);
	if (page->way == POSTGRES_USUAL || !link->conn)
		return r;
	int back = postgres_go_on(link, POSTGRES_USUAL);
	return r < 0 || back == 0 ? r : back;
}

int postgres_rows(struct postgres_link *link, const uint8_t host_id[16], int64_t from_us, int64_t to_us, bool backwards,
		  store_row_fn fn, void *arg)
{
	struct page page = {
		.statement = backwards ? PG_ROWS_BACKWARDS : PG_ROWS_FORWARDS,
		.backwards = backwards,
		.at = {.agent_us = backwards ? to_us : from_us, .sequence = backwards ? INT64_MAX : INT64_MIN},
		.end_us = backwards ? from_us : to_us,
		.rows = PAGE_ROWS_FIRST};
	if (from_us > to_us)
		return -EINVAL;
	memset(page.at.instance, backwards ? 0xff : 0, sizeof(page.at.instance));
	return read_pages(link, host_id, &page, PAGE_ROWS, fn, arg);
}

int postgres_row_heads(struct postgres_link *link, const uint8_t host_id[16], int64_t from_us, int64_t to_us,
		       size_t head, store_row_fn fn, void *arg)
{
	struct page page = {.statement = head == 0 ? PG_ROW_LIST : PG_ROW_HEADS,
			    .at = {.agent_us = from_us, .sequence = INT64_MIN},
			    .end_us = to_us};
	if (head > HEAD_WHOLE)
		return postgres_rows(link, host_id, from_us, to_us, false, fn, arg);
	if (from_us > to_us)
		return -EINVAL;
	page.head = (int64_t)head;
	page.rows = head == 0 ? PAGE_HEADS : PAGE_ROWS;
	return read_pages(link, host_id, &page, PAGE_HEADS, fn, arg);
}
