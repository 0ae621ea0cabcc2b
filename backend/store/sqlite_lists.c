/* What history waits for, and what there is of it. */
#include "backend/store/sqlite_reader.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int sqlite_unsealed(void *engine, struct store_unsealed **ret, size_t *ret_n)
{
	struct sqlite_reader *reader;
	struct store_unsealed *hosts = NULL;
	size_t n = 0, cap = 0;
	int r = sqlite_reader_borrow(engine, true, &reader);
	if (r < 0)
		return r;
	sqlite3_stmt *stmt = sqlite_read(reader, READ_UNSEALED);
	while ((r = sqlite_step(stmt)) == 1) {
		struct store_unsealed *slot = sqlite_grow((void **)&hosts, n, &cap, sizeof(*hosts));
		r = !slot ? -ENOMEM : sqlite3_column_bytes(stmt, 0) != 16 ? -EUCLEAN : 0;
		if (r < 0)
			break;
		memcpy(slot->host_id, sqlite3_column_blob(stmt, 0), 16);
		slot->sealed_us = sqlite3_column_int64(stmt, 1);
		slot->rows = (uint64_t)sqlite3_column_int64(stmt, 2);
		n++;
	}
	sqlite3_reset(stmt);
	sqlite_reader_return(reader);
	if (r < 0) {
		free(hosts);
		return sqlite_listed(engine, r);
	}
	*ret = hosts;
	*ret_n = n;
	return 0;
}

int sqlite_windows(void *engine, enum store_tier tier, int64_t before_us, int64_t quiet_us, unsigned limit,
		   struct store_window **ret, size_t *ret_n)
{
	struct sqlite_reader *reader;
	struct store_window *windows = NULL;
	size_t n = 0, cap = 0;
	int r = sqlite_reader_borrow(engine, true, &reader);
	if (r < 0)
		return r;
	sqlite3_stmt *stmt = sqlite_read(reader, READ_WINDOWS);
	sqlite3_bind_int64(stmt, 1, tier);
	sqlite3_bind_int64(stmt, 2, before_us);
	sqlite3_bind_int64(stmt, 3, quiet_us);
	sqlite3_bind_int64(stmt, 4, limit);
	while ((r = sqlite_step(stmt)) == 1) {
		struct store_window *slot = sqlite_grow((void **)&windows, n, &cap, sizeof(*windows));
		r = !slot ? -ENOMEM : sqlite3_column_bytes(stmt, 0) != 16 ? -EUCLEAN : 0;
		if (r < 0)
			break;
		memcpy(slot->host_id, sqlite3_column_blob(stmt, 0), 16);
		slot->statistic = (uint32_t)sqlite3_column_int64(stmt, 1);
		slot->window_us = sqlite3_column_int64(stmt, 2);
		slot->chunks = (uint32_t)sqlite3_column_int64(stmt, 3);
		slot->newest_us = sqlite3_column_int64(stmt, 4);
		n++;
	}
	sqlite3_reset(stmt);
	sqlite_reader_return(reader);
	if (r < 0) {
		free(windows);
		return sqlite_listed(engine, r);
	}
	*ret = windows;
	*ret_n = n;
	return 0;
}

/* False when the database says something that is no tier. */
static bool take_tier(sqlite3_stmt *stmt, int64_t *ret)
{
	*ret = sqlite3_column_int64(stmt, 0);
	return *ret > 0 && *ret < STORE_TIER_END;
}

static int chunks_usage(struct sqlite_reader *reader, struct store_usage *usage)
{
	int64_t tier;
	int r;
	sqlite3_stmt *stmt = sqlite_read(reader, READ_USAGE);
	while ((r = sqlite_step(stmt)) == 1) {
		if (!take_tier(stmt, &tier))
			continue;
		usage->tiers[tier].chunks = (uint64_t)sqlite3_column_int64(stmt, 1);
		usage->tiers[tier].bytes = (uint64_t)sqlite3_column_int64(stmt, 2);
		usage->tiers[tier].oldest_us = sqlite3_column_int64(stmt, 3);
		usage->tiers[tier].newest_us = sqlite3_column_int64(stmt, 4);
	}
	if (r < 0)
		return r;
	stmt = sqlite_read(reader, READ_UNCOMPACTED);
	while ((r = sqlite_step(stmt)) == 1) {
		if (take_tier(stmt, &tier))
			usage->tiers[tier].uncompacted_bytes = (uint64_t)sqlite3_column_int64(stmt, 1);
	}
	return r;
}

/* "damaged_1_hot" was "hot", and "damaged_pieces_2" pieces of chunks. */
static void add_damaged(const char *name, struct store_usage *usage)
{
	size_t len = strlen(usage->damaged);
	const char *table = name + strlen("damaged_");
	table = strncmp(table, "pieces_", 7) == 0 ? "chunk_pieces" : table + strspn(table, "0123456789_");
	usage->damaged_tables++;
	if (len + strlen(table) + sizeof(", ") <= sizeof(usage->damaged))
		snprintf(usage->damaged + len, sizeof(usage->damaged) - len, "%s%s", len > 0 ? ", " : "", table);
}

static void add_lists(const struct sqlite_engine *e, struct store_usage *usage)
{
	size_t len = strlen(usage->damaged);
	if (!atomic_load(&e->lists_damaged))
		return;
	usage->damaged_tables++;
	snprintf(usage->damaged + len, sizeof(usage->damaged) - len,
		 "%sa list of pages: restart the backend, which leaves it out", len > 0 ? ", " : "");
}

static int damaged_usage(struct sqlite_reader *reader, struct store_usage *usage)
{
	sqlite3_stmt *stmt = sqlite_read(reader, READ_DAMAGED_USAGE);
	int r;
	while ((r = sqlite_step(stmt)) == 1)
		add_damaged((const char *)sqlite3_column_text(stmt, 0), usage);
	sqlite3_reset(stmt);
	return r;
}

static int rows_usage(struct sqlite_reader *reader, struct store_usage *usage)
{
	sqlite3_stmt *stmt = sqlite_read(reader, READ_ROWS_USAGE);
	int r = sqlite_step(stmt);
	if (r == 1) {
		usage->rows = (uint64_t)sqlite3_column_int64(stmt, 0);
		usage->row_bytes = (uint64_t)((double)usage->rows * sqlite3_column_double(stmt, 1));
	}
	sqlite3_reset(stmt);
	if (r < 0)
		return r;
	return damaged_usage(reader, usage);
}

static void files_usage(const struct sqlite_engine *e, struct store_usage *usage)
{
	static const char *const suffixes[] = {"", "-wal", "-shm"};
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(*suffixes); i++) {
		struct stat st;
		char path[SQLITE_PATH_MAX];
		if (sqlite_path_beside(e, suffixes[i], path) == 0 && stat(path, &st) == 0)
			usage->total_bytes += (uint64_t)st.st_blocks * 512;
	}
	usage->disk_free_bytes = sqlite_disk_free(e);
}

int sqlite_usage(void *engine, struct store_usage *ret)
{
	struct sqlite_reader *reader;
	struct store_usage usage = {0};
	int r = sqlite_reader_borrow(engine, true, &reader);
	if (r < 0)
		return r;
	r = chunks_usage(reader, &usage);
	if (r == 0)
		r = rows_usage(reader, &usage);
	sqlite_reader_return(reader);
	if (r < 0)
		return sqlite_listed(engine, r);
	add_lists(engine, &usage);
	files_usage(engine, &usage);
	*ret = usage;
	return 0;
}
