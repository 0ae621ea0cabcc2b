/* PostgreSQL's binary forms: integers in network order, bytea, uuid and text as they are. */
#include "backend/store/postgres_link.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int next(struct postgres_parameters *p, const void *value, size_t len)
{
	int i = p->n++;
	p->values[i] = value;
	p->lengths[i] = (int)len;
	p->formats[i] = 1;
	return i;
}

void postgres_add_int(struct postgres_parameters *p, int64_t value)
{
	int i = next(p, NULL, sizeof(p->integers[0]));
	p->integers[i] = htobe64((uint64_t)value);
	p->values[i] = (const char *)&p->integers[i];
}

void postgres_add_bytes(struct postgres_parameters *p, const void *data, size_t len)
{
	next(p, data ? data : "", len);
}

void postgres_add_text(struct postgres_parameters *p, const char *text)
{
	next(p, text, strlen(text));
}

void postgres_add_null(struct postgres_parameters *p)
{
	next(p, NULL, 0);
}

int64_t postgres_get_int(const PGresult *result, int row, int column)
{
	uint64_t value = 0;
	if (PQgetlength(result, row, column) != (int)sizeof(value))
		return 0;
	memcpy(&value, PQgetvalue(result, row, column), sizeof(value));
	return (int64_t)be64toh(value);
}

const uint8_t *postgres_get_bytes(const PGresult *result, int row, int column, size_t *ret_len)
{
	*ret_len = (size_t)PQgetlength(result, row, column);
	return *ret_len > 0 ? (const uint8_t *)PQgetvalue(result, row, column) : NULL;
}

int postgres_copy_fixed(const PGresult *result, int row, int column, void *out, size_t len)
{
	size_t have;
	const uint8_t *data = postgres_get_bytes(result, row, column, &have);
	if (have != len)
		return -EUCLEAN;
	memcpy(out, data, len);
	return 0;
}

int postgres_copy_text(const PGresult *result, int row, int column, char *text, size_t size)
{
	size_t len;
	const uint8_t *data = postgres_get_bytes(result, row, column, &len);
	if (len >= size)
		return -EUCLEAN;
	if (len > 0)
		memcpy(text, data, len);
	text[len] = '\0';
	return 0;
}

int postgres_copy_bytes(const PGresult *result, int row, int column, uint8_t **ret, size_t *ret_len)
{
	size_t len;
	const uint8_t *data = postgres_get_bytes(result, row, column, &len);
	uint8_t *copy = NULL;
	if (len > 0) {
		copy = malloc(len);
		if (!copy)
			return -ENOMEM;
		memcpy(copy, data, len);
	}
	*ret = copy;
	*ret_len = len;
	return 0;
}

static int put32(struct buf *b, uint32_t value)
{
	uint32_t big = htobe32(value);
	return buf_append(b, &big, sizeof(big));
}

int postgres_array_begin(struct buf *b, uint32_t oid, size_t n)
{
	/* Dimensions, whether it has NULLs, the type, how many, where counting begins. */
	const uint32_t header[] = {1, 0, oid, (uint32_t)n, 1};
	int r = 0;
	buf_reset(b);
	for (size_t i = 0; i < sizeof(header) / sizeof(header[0]) && r == 0; i++)
		r = put32(b, header[i]);
	return r;
}

int postgres_array_bytes(struct buf *b, const void *data, size_t len)
{
	int r = put32(b, (uint32_t)len);
	return r || len == 0 ? r : buf_append(b, data, len);
}

int postgres_array_int(struct buf *b, int64_t value)
{
	uint64_t big = htobe64((uint64_t)value);
	return postgres_array_bytes(b, &big, sizeof(big));
}
