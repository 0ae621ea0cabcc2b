/* Commands that carry data into and out of a store. */
#include "backend/archive/backup.h"
#include "backend/commands.h"
#include "backend/first_start.h"
#include "backend/store/store_records.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct store *open_store(const struct options *options, bool to_read)
{
	struct store *store = NULL;
	char *error = NULL;
	/* Standard output may be the data. */
	log_configure(LOG_LEVEL_ERROR, options->log_format);
	int r = to_read ? store_open_to_read(options->store, &store, &error)
			: store_open(options->store, &store, &error);
	if (r < 0)
		fail_start("%s", error ? error : strerror(-r));
	free(error);
	return r < 0 ? NULL : store;
}

static void tell(const char *what, const char *path, const struct backup_counts *counts)
{
	fprintf(stderr, "%s %s: %llu hosts, %llu chunks, %llu rows, %llu bytes\n", what, path,
		(unsigned long long)counts->hosts, (unsigned long long)counts->chunks, (unsigned long long)counts->rows,
		(unsigned long long)counts->bytes);
}

int command_backup(const struct options *options)
{
	const char *path = options->command.operands[0];
	char error[BACKUP_ERROR_SIZE];
	struct backup_counts counts;
	struct store *store = open_store(options, true);
	if (!store)
		return 1;
	int r = backup_make(store, path, &counts, error);
	store_close(store);
	if (r < 0) {
		fail_start("%s", error);
		return 1;
	}
	tell("backed up to", path, &counts);
	if (counts.damaged == 0)
		return 0;
	fail_start("%llu damaged chunks could not be read and are not in the backup",
		   (unsigned long long)counts.damaged);
	return 3;
}

int command_restore(const struct options *options)
{
	const char *path = options->command.operands[0];
	char error[BACKUP_ERROR_SIZE];
	struct backup_counts counts;
	struct store *store = open_store(options, false);
	if (!store)
		return 1;
	int r = backup_restore(store, path, &counts, error);
	store_close(store);
	if (r < 0) {
		fail_start("%s", error);
		return 1;
	}
	tell("restored from", path, &counts);
	return 0;
}
