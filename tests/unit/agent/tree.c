#include "tests/unit/agent/tree.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Fixtures fail loudly whatever NDEBUG says. */
static void must(int ok, const char *what)
{
	if (!ok) {
		perror(what);
		abort();
	}
}

void tree_make(struct tree *tree)
{
	strcpy(tree->path, "/tmp/sonde-tree-XXXXXX");
	must(mkdtemp(tree->path) != NULL, "mkdtemp");
	must(root_open(&tree->root, tree->path) == 0, "root_open");
}

void tree_mkdir(const struct tree *tree, const char *path)
{
	char full[512];
	snprintf(full, sizeof(full), "%s/%s/", tree->path, path);
	for (char *p = full + strlen(tree->path) + 1; (p = strchr(p, '/')); p++) {
		*p = '\0';
		must(mkdir(full, 0755) == 0 || errno == EEXIST, full);
		*p = '/';
	}
}

void tree_write(const struct tree *tree, const char *path, const char *text)
{
	char full[512], dir[256];
	const char *slash = strrchr(path, '/');
	if (slash) {
		snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path), path);
		tree_mkdir(tree, dir);
	}
	snprintf(full, sizeof(full), "%s/%s", tree->path, path);
	FILE *f = fopen(full, "w");
	must(f && fputs(text, f) >= 0 && fclose(f) == 0, full);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

void tree_remove(const struct tree *tree, const char *path)
{
	char full[512];
	snprintf(full, sizeof(full), "%s/%s", tree->path, path);
	must(nftw(full, remove_entry, 16, FTW_DEPTH | FTW_PHYS) == 0, full);
}

void tree_destroy(struct tree *tree)
{
	root_close(&tree->root);
	must(nftw(tree->path, remove_entry, 16, FTW_DEPTH | FTW_PHYS) == 0, tree->path);
}
