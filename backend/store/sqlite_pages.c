/* A file has lists of its own beside the tables: of the pages that are free, and, so that pages can be moved, of who
 * each page belongs to. SQLite believes them: with a damaged one nothing that needs a page can be written, and long
 * values cannot be read though they are whole. Neither list is needed: without the first its pages are lost to use,
 * without the second the file cannot shrink. Both are named in the file's first page alone.
 *
 * That page cannot be changed while anybody has the file open. So what is found while the backend runs is told, and a
 * file beside the database says that the next start is to leave the lists out (sqlite_lists_drop()). */
#include "backend/store/sqlite_mend.h"

#include "common/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEADER_BYTES 100
#define PAGE_MAX 65536
#define TRUNKS_MAX 100000

/* Of the file's first page; https://www.sqlite.org/fileformat.html tells the places. */
enum {
	AT_PAGE_SIZE = 16,
	AT_RESERVED = 20,
	AT_PAGES = 28,
	AT_FREE_FIRST = 32,
	AT_FREE_PAGES = 36,
	AT_LARGEST_ROOT = 52,
	AT_INCREMENTAL = 64
};

struct file {
	int fd;
	uint32_t page_size, usable, pages;
	uint8_t header[HEADER_BYTES];
	uint8_t page[PAGE_MAX];
};

static uint32_t number_at(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put_number(uint8_t *p, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(value >> (24 - 8 * i));
}

static int read_header(struct file *f)
{
	if (pread(f->fd, f->header, HEADER_BYTES, 0) != HEADER_BYTES)
		return -EIO;
	f->page_size = (uint32_t)f->header[AT_PAGE_SIZE] << 8 | f->header[AT_PAGE_SIZE + 1];
	f->page_size = f->page_size == 1 ? PAGE_MAX : f->page_size;
	f->usable = f->page_size - f->header[AT_RESERVED];
	f->pages = number_at(f->header + AT_PAGES);
	bool power = (f->page_size & (f->page_size - 1)) == 0;
	return memcmp(f->header, "SQLite format 3", 16) == 0 && f->page_size >= 512 && power && f->usable >= 480
		       ? 0
		       : -EUCLEAN;
}

static int read_page(struct file *f, uint32_t page)
{
	ssize_t n = pread(f->fd, f->page, f->page_size, (off_t)(page - 1) * f->page_size);
	return n == (ssize_t)f->page_size ? 0 : -EIO;
}

/* Trunks name the free pages, and the next trunk. 0, -EUCLEAN, -EIO. */
static int check_free(struct file *f)
{
	uint32_t trunk = number_at(f->header + AT_FREE_FIRST), left = number_at(f->header + AT_FREE_PAGES);
	for (unsigned i = 0; trunk != 0 && i < TRUNKS_MAX; i++) {
		if (trunk > f->pages || left == 0)
			return -EUCLEAN;
		int r = read_page(f, trunk);
		if (r < 0)
			return r;
		uint32_t n = number_at(f->page + 4);
		if (n > f->usable / 4 - 2 || n > left - 1)
			return -EUCLEAN;
		for (uint32_t k = 0; k < n; k++) {
			uint32_t leaf = number_at(f->page + 8 + 4 * k);
			if (leaf < 2 || leaf > f->pages)
				return -EUCLEAN;
		}
		left -= n + 1;
		trunk = number_at(f->page);
	}
	return 0;
}

/* Each page of the other list has an entry of five bytes for each of those that follow it: a kind from 1 to 5, and a
 * page that exists. */
static int check_owners(struct file *f)
{
	uint32_t each = f->usable / 5;
	if (number_at(f->header + AT_LARGEST_ROOT) == 0)
		return 0;
	for (uint64_t list = 2; list < f->pages; list += each + 1) {
		int r = read_page(f, (uint32_t)list);
		for (uint32_t i = 0; r == 0 && i < each && list + 1 + i <= f->pages; i++) {
			const uint8_t *entry = f->page + (size_t)5 * i;
			/* That of the page which locks lie on is nobody's. */
			bool none = entry[0] == 0 && number_at(entry + 1) == 0;
			if (!none && (entry[0] > 5 || number_at(entry + 1) > f->pages))
				r = -EUCLEAN;
		}
		if (r < 0)
			return r;
	}
	return 0;
}

/* Which of them is damaged, or NULL. */
static const char *damaged_list(int fd)
{
	struct file *f = calloc(1, sizeof(*f));
	const char *what = NULL;
	if (f) {
		f->fd = fd;
		what = read_header(f) < 0	     ? NULL
		       : check_free(f) == -EUCLEAN   ? "free pages"
		       : check_owners(f) == -EUCLEAN ? "owners of pages"
						     : NULL;
	}
	free(f);
	return what;
}

bool sqlite_lists_check(struct sqlite_engine *e)
{
	char mark[SQLITE_PATH_MAX];
	/* Stays open: with any descriptor of the file that is closed SQLite's locks on it go. */
	if (e->look_fd < 0)
		e->look_fd = open(e->path, O_RDONLY | O_CLOEXEC);
	if (e->look_fd < 0)
		return false;
	/* The file alone is all there is only when nobody reads from the log. */
	int rc = sqlite3_wal_checkpoint_v2(e->write, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	const char *what = rc == SQLITE_OK ? damaged_list(e->look_fd) : NULL;
	if (!what || sqlite_path_beside(e, SQLITE_MARK, mark) < 0)
		return false;
	int fd = open(mark, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd >= 0)
		close(fd);
	atomic_store(&e->lists_damaged, true);
	log_error("a list in the database's file is damaged, and nothing that needs a new page can be written",
		  LOG_STR("database", e->path), LOG_STR("list", what),
		  LOG_STR("then",
			  "restart the backend: it leaves the list out, and all else is there again; look at the disk,"
			  " and make a backup elsewhere"));
	return true;
}

/* The pages that were listed stay unused. */
static int drop_lists(int fd)
{
	uint8_t header[HEADER_BYTES];
	if (pread(fd, header, HEADER_BYTES, 0) != HEADER_BYTES)
		return -EIO;
	put_number(header + AT_FREE_FIRST, 0);
	put_number(header + AT_FREE_PAGES, 0);
	put_number(header + AT_LARGEST_ROOT, 0);
	put_number(header + AT_INCREMENTAL, 0);
	return pwrite(fd, header, HEADER_BYTES, 0) == HEADER_BYTES && fsync(fd) == 0 ? 0 : -EIO;
}

/* Everything in the log goes into the file, and the log away. */
static int fold_log(const char *path, const char *log)
{
	sqlite3 *db = NULL;
	struct stat st;
	int r = sqlite_error(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL));
	if (r == 0)
		r = sqlite_error(sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL));
	sqlite3_close(db);
	return r == 0 && stat(log, &st) == 0 && st.st_size > 0 ? -EBUSY : r;
}

/* 1 when there were such. */
static int drop_damaged(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	bool damaged = damaged_list(fd) != NULL;
	int r = damaged ? drop_lists(fd) : 0;
	close(fd);
	if (r < 0)
		log_error("the damaged lists of the database's file cannot be left out", LOG_STR("database", path),
			  LOG_ERR(r), LOG_STR("then", "restore a backup"));
	else if (damaged)
		log_error("damaged lists of the database's file are left out", LOG_STR("database", path),
			  LOG_STR("then",
				  "all is served and written, but the file does not shrink any more: make a backup,"
				  " and restore it into a new one"));
	return r < 0 ? r : damaged;
}

int sqlite_lists_drop(const char *path, bool suspected)
{
	char mark[SQLITE_PATH_MAX], log[SQLITE_PATH_MAX];
	if (snprintf(mark, sizeof(mark), "%s" SQLITE_MARK, path) >= (int)sizeof(mark) ||
	    snprintf(log, sizeof(log), "%s-wal", path) >= (int)sizeof(log))
		return 0;
	bool marked = access(mark, F_OK) == 0;
	if (!marked && !suspected)
		return 0;
	int r = fold_log(path, log);
	if (r == 0)
		r = drop_damaged(path);
	if (r >= 0 && marked && unlink(mark) < 0)
		r = -errno;
	return r;
}
