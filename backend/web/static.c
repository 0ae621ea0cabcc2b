/* The React build. Files are opened beneath web_root by the kernel's own rule (openat2, RESOLVE_BENEATH: no "..", no
 * absolute or outward symbolic link), so that no mistake in reading a path can reach another file. */
#include "backend/web/server.h"

#include "backend/web/headers.h"
#include "backend/web/static_path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char no_build[] =
	"<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Sonde</title>"
	"<body style=\"font:16px/1.5 sans-serif;max-width:40em;margin:4em auto;padding:0 1em\">"
	"<h1>The dashboard is not built yet</h1><p>The backend runs and takes data, but finds no files to show. Build "
	"them in the source tree with <code>npm --prefix frontend ci</code> and <code>npm --prefix frontend run "
	"build</code>, then start the backend with <code>--web-root frontend/dist</code>.</p>"
	"<p>The API is at <a href=\"/api/health\">/api/health</a>.</p></body></html>\n";

/* Each component without following links: for kernels before 5.6, and sandboxes that do not know openat2. */
static int open_step_by_step(int dir, const char *path)
{
	char name[256];
	int at = fcntl(dir, F_DUPFD_CLOEXEC, 3);
	while (at >= 0) {
		size_t n = strcspn(path, "/");
		bool last = path[n] == '\0';
		if (n >= sizeof(name)) {
			close(at);
			return -ENAMETOOLONG;
		}
		memcpy(name, path, n);
		name[n] = '\0';
		int fd = openat(at, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | (last ? 0 : O_DIRECTORY));
		int error = errno;
		close(at);
		if (fd < 0)
			return -error;
		if (last)
			return fd;
		at = fd;
		path += n + 1;
	}
	return -errno;
}

/* A regular file: its descriptor. -ENOENT for anything else, or negative errno. */
static int open_beneath(const char *root, const char *path, struct stat *ret)
{
	int dir = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return -errno;
	struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK,
			       .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
	int fd = (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
	if (fd < 0)
		fd = errno == ENOSYS || errno == EPERM ? open_step_by_step(dir, path) : -errno;
	close(dir);
	if (fd < 0)
		return fd;
	if (fstat(fd, ret) < 0 || !S_ISREG(ret->st_mode)) {
		close(fd);
		return -ENOENT;
	}
	return fd;
}

static void serve_file(struct request *request, const char *path, int fd, const struct stat *st, bool gzip)
{
	char etag[80];
	(void)snprintf(etag, sizeof(etag), "\"%llx-%llx%09lx%s\"", (unsigned long long)st->st_size,
		       (unsigned long long)st->st_mtim.tv_sec, (unsigned long)st->st_mtim.tv_nsec, gzip ? "-gz" : "");
	bool unchanged = request->if_none_match[0] && headers_etag_matches(request->if_none_match, etag);
	request_answer(request, unchanged ? 304 : 200, unchanged ? NULL : static_path_type(path));
	request->response.cache = static_path_is_hashed(path) ? "public, max-age=31536000, immutable" : "no-cache";
	request_header(request, "etag", etag);
	request_header(request, "vary", "accept-encoding");
	if (gzip && !unchanged)
		request_header(request, "content-encoding", "gzip");
	if (unchanged) {
		close(fd);
		request_send(request, "", 0);
		return;
	}
	request_send_file(request, fd, (uint64_t)st->st_size);
}

/* True when the answer is under way. */
static bool try_file(struct request *request, const char *path)
{
	char compressed[STATIC_PATH_MAX + 4];
	struct stat st, compressed_st;
	int fd = open_beneath(request->web->web_root, path, &st);
	if (fd < 0)
		return false;
	(void)snprintf(compressed, sizeof(compressed), "%s.gz", path);
	int gz = request->accepts_gzip ? open_beneath(request->web->web_root, compressed, &compressed_st) : -ENOENT;
	/* One left over from an older build must not hide the newer file. */
	if (gz >= 0 && compressed_st.st_mtim.tv_sec < st.st_mtim.tv_sec) {
		close(gz);
		gz = -ENOENT;
	}
	if (gz >= 0) {
		close(fd);
		serve_file(request, path, gz, &compressed_st, true);
	} else {
		serve_file(request, path, fd, &st, false);
	}
	return true;
}

void static_serve(struct request *request)
{
	char path[STATIC_PATH_MAX];
	bool view = static_path_is_view(request->path, request->path_len);
	if (request->web->web_root) {
		if (static_path_resolve(request->path, request->path_len, path) == 0 && try_file(request, path))
			return;
		if (view && try_file(request, "index.html"))
			return;
	}
	if (view) {
		request_answer(request, 503, "text/html; charset=utf-8");
		request_send(request, no_build, sizeof(no_build) - 1);
		return;
	}
	request_fail(request, 404, "not_found", "there is no such file");
}
