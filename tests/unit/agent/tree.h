/* A throw-away host: a directory with the proc/ and sys/ files that a test writes. */
#pragma once

#include "agent/host/root.h"

struct tree {
	char path[64];
	struct root root;
};

void tree_make(struct tree *tree);
void tree_write(const struct tree *tree, const char *path, const char *text); /* makes directories on the way */
void tree_mkdir(const struct tree *tree, const char *path);
void tree_remove(const struct tree *tree, const char *path);
void tree_destroy(struct tree *tree);
