/* What is durable, and rows of a host by time. A page is one result; the next begins behind the last row's (agent_us,
 * sequence, instance), so that rows of one moment are neither lost nor doubled, and the connection is free between
 * pages: whoever is given rows may read chunks through the same view.
 *
 * A payload that cannot be read makes its page fail: the rows are read one by one then, and the one that it is of is
 * told as damaged by what the list says of it. */
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

int postgres_latest(void *engine, const uint8_t host_id[16], uint8_t **ret_payload, size_t *ret_len,
		    uint8_t ret_hash[32], int64_t *ret_received_us)
{
	struct postgres_parameters p = {0};
	PGresult *result = NULL;
	struct store_row row;
	postgres_add_bytes(&p, host_id, 16);
	int r = postgres_ask(engine, PG_LATEST, &p, &result);
	if (r > 0 && read_row(result, 0, &row) < 0)
		r = -EUCLEAN;
	if (r > 0 && postgres_copy_bytes(result, 0, PAYLOAD, ret_payload, ret_len) < 0)
		r = -ENOMEM;
	if (r > 0) {
		memcpy(ret_hash, row.descriptor_hash, 32);
		*ret_received_us = row.received_us;
	}
	PQclear(result);
	return r;
}

struct page {
	enum postgres_statement statement;
	int64_t head;		    /* bytes of each payload; PG_ROW_HEADS only */
	int64_t end_us;		    /* of all pages */
	int64_t agent_us, sequence; /* of the last row, as the database orders them */
	uint8_t instance[16];
	int64_t rows; /* to ask for */
};

static int read_page(struct postgres_link *link, const uint8_t host_id[16], const struct page *page, PGresult **ret)
{
	struct postgres_parameters p = {0};
	postgres_add_bytes(&p, host_id, 16);
	postgres_add_int(&p, page->agent_us);
	postgres_add_int(&p, page->sequence);
	postgres_add_bytes(&p, page->instance, 16);
	postgres_add_int(&p, page->end_us);
	postgres_add_int(&p, page->rows);
	if (page->statement == PG_ROW_HEADS)
		postgres_add_int(&p, page->head);
	return postgres_run(link, page->statement, &p, ret);
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
		page->agent_us = row.agent_us;
		page->sequence = (int64_t)row.sequence;
		memcpy(page->instance, row.instance, sizeof(page->instance));
		*ret_bytes += row.len;
		r = fn(arg, &row);
	}
	return r;
}

/* The next row, of which nothing but the list can be read. */
static int hand_out_damaged(struct postgres_link *link, const uint8_t host_id[16], struct page *page, store_row_fn fn,
			    void *arg)
{
	static const uint8_t no_message[1] = {0};
	struct page one = *page;
	struct store_row row;
	PGresult *result = NULL;
	one.statement = page->statement == PG_ROWS_BACKWARDS ? PG_ROW_LIST_BACKWARDS : PG_ROW_LIST;
	int n = read_page(link, host_id, &one, &result);
	int r = n < 0 ? n : n == 0 ? -EUCLEAN : read_listed(result, 0, &row);
	PQclear(result);
	if (r < 0)
		return r;
	page->agent_us = row.agent_us;
	page->sequence = (int64_t)row.sequence;
	memcpy(page->instance, row.instance, sizeof(page->instance));
	row.payload = no_message;
	row.len = row.whole_len = sizeof(no_message);
	row.damaged = true;
	return fn(arg, &row);
}

/* One row at a time, until it is found which of them cannot be read. */
static int go_around(struct postgres_link *link, const uint8_t host_id[16], struct page *page, store_row_fn fn,
		     void *arg)
{
	int r = postgres_exec(link, "ROLLBACK TO SAVEPOINT state", NULL);
	if (r < 0)
		return r;
	if (page->rows == 1)
		return hand_out_damaged(link, host_id, page, fn, arg);
	page->rows = 1;
	return 0;
}

static int read_pages(struct postgres_link *link, const uint8_t host_id[16], struct page *page, int64_t most,
		      store_row_fn fn, void *arg)
{
	for (;;) {
		PGresult *result = NULL;
		size_t bytes = 0;
		int n = read_page(link, host_id, page, &result);
		if (n == -EUCLEAN && page->statement != PG_ROW_LIST) {
			n = go_around(link, host_id, page, fn, arg);
			if (n == 0)
				continue;
			return n;
		}
		if (n < 0)
			return n;
		int r = hand_out(result, n, fn, arg, page, &bytes);
		PQclear(result);
		if (r != 0 || n < page->rows)
			return r;
		/* As many as are likely to be enough. */
		size_t mean = bytes / (size_t)n + 1;
		page->rows = (int64_t)(PAGE_BYTES_ENOUGH / mean);
		page->rows = page->rows < 1 ? 1 : page->rows > most ? most : page->rows;
	}
}

int postgres_rows(struct postgres_link *link, const uint8_t host_id[16], int64_t from_us, int64_t to_us, bool backwards,
		  store_row_fn fn, void *arg)
{
	struct page page = {.statement = backwards ? PG_ROWS_BACKWARDS : PG_ROWS_FORWARDS,
			    .end_us = backwards ? from_us : to_us,
			    .agent_us = backwards ? to_us : from_us,
			    .sequence = backwards ? INT64_MAX : INT64_MIN,
			    .rows = PAGE_ROWS_FIRST};
	if (from_us > to_us)
		return -EINVAL;
	memset(page.instance, backwards ? 0xff : 0, sizeof(page.instance));
	return read_pages(link, host_id, &page, PAGE_ROWS, fn, arg);
}

int postgres_row_heads(struct postgres_link *link, const uint8_t host_id[16], int64_t from_us, int64_t to_us,
		       size_t head, store_row_fn fn, void *arg)
{
	struct page page = {.statement = head == 0 ? PG_ROW_LIST : PG_ROW_HEADS,
			    .end_us = to_us,
			    .agent_us = from_us,
			    .sequence = INT64_MIN};
	if (head > HEAD_WHOLE)
		return postgres_rows(link, host_id, from_us, to_us, false, fn, arg);
	if (from_us > to_us)
		return -EINVAL;
	page.head = (int64_t)head;
	page.rows = head == 0 ? PAGE_HEADS : PAGE_ROWS;
	return read_pages(link, host_id, &page, PAGE_HEADS, fn, arg);
}
