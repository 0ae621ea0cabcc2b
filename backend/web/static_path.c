/* Refuses by shape, before any file is opened; static.c then opens beneath web_root only, so that a mistake here could
 * not reach a file outside either. */
#include "backend/web/static_path.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

int static_path_resolve(const char *path, size_t len, char ret[STATIC_PATH_MAX])
{
	if (len == 0 || path[0] != '/')
		return -ENOENT;
	if (len >= STATIC_PATH_MAX)
		return -EMSGSIZE;
	if (len == 1) {
		memcpy(ret, "index.html", sizeof("index.html"));
		return 0;
	}
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)path[i];
		if (c < ' ' || c == 0x7f || c == '\\')
			return -ENOENT;
		/* No segment is empty or begins with a dot: neither "..", nor what the build keeps hidden. */
		if (c == '/' && (i + 1 == len || path[i + 1] == '/' || path[i + 1] == '.'))
			return -ENOENT;
	}
	memcpy(ret, path + 1, len - 1);
	ret[len - 1] = '\0';
	return 0;
}

bool static_path_is_view(const char *path, size_t len)
{
	if (len == 0 || path[0] != '/' || memchr(path, '\0', len) || memchr(path, '\\', len))
		return false;
	if (len >= 4 && memcmp(path, "/api", 4) == 0 && (len == 4 || path[4] == '/'))
		return false;
	const char *slash = memrchr(path, '/', len);
	return memchr(slash, '.', len - (size_t)(slash - path)) == NULL;
}

const char *static_path_type(const char *path)
{
	static const struct {
		const char *extension, *type;
	} types[] = {
		{".html", "text/html; charset=utf-8"},
		{".js", "text/javascript; charset=utf-8"},
		{".mjs", "text/javascript; charset=utf-8"},
		{".css", "text/css; charset=utf-8"},
		{".json", "application/json"},
		{".map", "application/json"},
		{".webmanifest", "application/manifest+json"},
		{".svg", "image/svg+xml"},
		{".png", "image/png"},
		{".jpg", "image/jpeg"},
		{".webp", "image/webp"},
		{".ico", "image/vnd.microsoft.icon"},
		{".woff2", "font/woff2"},
		{".woff", "font/woff"},
		{".wasm", "application/wasm"},
		{".txt", "text/plain; charset=utf-8"},
	};
	const char *slash = strrchr(path, '/');
	const char *dot = strrchr(slash ? slash : path, '.');
	for (size_t i = 0; dot && i < sizeof(types) / sizeof(types[0]); i++) {
		if (strcmp(dot, types[i].extension) == 0)
			return types[i].type;
	}
	return "application/octet-stream";
}

bool static_path_is_hashed(const char *path)
{
	if (strncmp(path, "assets/", 7) != 0)
		return false;
	const char *name = strrchr(path, '/') + 1;
	const char *dash = strrchr(name, '-'), *dot = strchr(name, '.');
	/* The hash is eight characters of base64url, so it may hold a dash itself. */
	if (!dot || dot - name < 10 || !dash)
		return false;
	const char *hash = dot - 8;
	if (hash[-1] != '-')
		return false;
	for (int i = 0; i < 8; i++) {
		if (!isalnum((unsigned char)hash[i]) && hash[i] != '-' && hash[i] != '_')
			return false;
	}
	return true;
}
