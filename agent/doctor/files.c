#include "agent/doctor/files.h"

#include "agent/delivery/spool.h"
#include "agent/host/key_file.h"
#include "common/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define GROUP "files"
#define MIB ((unsigned long long)1 << 20)

/* The path itself or, as the agent would make it, the nearest directory above that is there. */
static void nearest_directory(const char *path, char *ret, size_t size)
{
	struct stat st;
	(void)snprintf(ret, size, "%s", path);
	while (ret[0] != '\0' && stat(ret, &st) < 0 && errno == ENOENT) {
		char *slash = strrchr(ret, '/');
		if (!slash) {
			(void)snprintf(ret, size, ".");
			return;
		}
		slash[slash == ret ? 1 : 0] = '\0';
	}
}

static bool report_state_dir(const struct options *options, const char *nearest, struct report *report)
{
	bool there = strcmp(nearest, options->state_dir) == 0;
	int error = faccessat(AT_FDCWD, nearest, W_OK | X_OK, AT_EACCESS) < 0 ? -errno : 0;
	struct finding *f = report_add(report, GROUP, error < 0 ? VERDICT_FAILED : VERDICT_OK, "state directory");
	finding_value(f, "%.140s%s", options->state_dir, there ? "" : ", to be made");
	if (error < 0)
		finding_remedy(
			f, "state_dir",
			"%.140s cannot be written (%s): without it the agent does not start; give it to the agent's "
			"user, or name another with --state-dir",
			nearest, log_strerror(error));
	return error == 0;
}

static void report_spool(const struct options *options, const char *nearest, struct report *report)
{
	struct statvfs space;
	char path[OPTIONS_PATH_SIZE + 16];
	struct stat st;
	if (options->spool_bytes == 0) {
		struct finding *f = report_add(report, GROUP, VERDICT_NOTE, "spool");
		finding_value(f, "off: what waits for the backend is lost when the agent ends");
		return;
	}
	(void)snprintf(path, sizeof(path), "%s/spool", options->state_dir);
	unsigned long long has = stat(path, &st) == 0 ? (unsigned long long)st.st_size : 0, free_bytes = 0;
	int r = statvfs(nearest, &space) < 0 ? -errno : 0;
	if (r == 0)
		free_bytes = (unsigned long long)space.f_bavail * space.f_frsize;
	bool whole = r == 0 && free_bytes + has >= options->spool_bytes,
	     some = r == 0 && free_bytes + has >= SPOOL_MIN_BYTES;
	struct finding *f = report_add(report, GROUP, whole ? VERDICT_OK : VERDICT_LIMITED, "spool");
	if (r < 0)
		finding_value(f, "%s", log_strerror(r));
	else
		finding_value(f, "%llu MiB wanted, %llu there, %llu free",
			      (unsigned long long)options->spool_bytes / MIB, has / MIB, free_bytes / MIB);
	if (!whole)
		finding_remedy(f, "spool_room", "%s: make room, or set a smaller --spool-bytes",
			       some ? "it will be smaller, and keep less while the backend is away"
				    : "snapshots wait in memory only, and are lost when the agent ends");
}

static void report_key(const struct options *options, struct report *report)
{
	char key[KEY_FILE_KEY_SIZE], error[KEY_FILE_ERROR_SIZE];
	bool exposed = false;
	if (options->key_file[0] == '\0') {
		struct finding *f = report_add(report, GROUP, VERDICT_NOTE, "agent key");
		finding_value(f, "none is named");
		finding_remedy(f, "no_key",
			       "to send snapshots, give --key-file (sonde-backend key create makes a key)");
		return;
	}
	int r = key_file_read(options->key_file, key, &exposed, error);
	explicit_bzero(key, sizeof(key));
	struct finding *f = report_add(report, GROUP,
				       r < 0	 ? VERDICT_FAILED
				       : exposed ? VERDICT_LIMITED
						 : VERDICT_OK,
				       "agent key");
	finding_value(f, "%.180s", options->key_file);
	if (r < 0)
		finding_remedy(f, "key_file", "%.400s", error);
	else if (exposed)
		finding_remedy(f, "key_exposed", "everybody can read it: chmod 600 %.180s", options->key_file);
}

void files_report(const struct options *options, struct report *report)
{
	char nearest[OPTIONS_PATH_SIZE];
	nearest_directory(options->state_dir, nearest, sizeof(nearest));
	if (report_state_dir(options, nearest, report))
		report_spool(options, nearest, report);
	report_key(options, report);
}
