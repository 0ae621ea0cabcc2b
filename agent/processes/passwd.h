/* /etc/passwd: what users are called. Kept as one table sorted by number, read again when the file has changed. Users
 * that other services know (LDAP, systemd) have no line there and stay numbers: asking for them could block. */
#pragma once

#include "agent/host/root.h"

#include <stdint.h>
#include <time.h>

#define PASSWD_FILE_MAX ((size_t)4 << 20)
#define PASSWD_USERS_MAX 65536
#define PASSWD_CHECK_US 5000000 /* how often the file's time is looked at */

struct passwd_user {
	uint32_t id;
	uint32_t name; /* where it stands in the text */
};

struct passwd {
	const struct root *root;
	struct timespec changed;
	long long size;
	unsigned long long inode;
	uint64_t next_us;
	char *text; /* names are terminated in place */
	struct passwd_user *users;
	size_t n;
};

static inline struct passwd passwd_init(const struct root *root)
{
	return (struct passwd){.root = root};
}
void passwd_free(struct passwd *passwd); /* accepts NULL and a zeroed one */

/* Brings it up to date if it is time. A file that is not there, too large or not to be read is a host without names. */
void passwd_refresh(struct passwd *passwd, uint64_t now_us) __attribute__((nonnull));

/* NULL for one that has no name. Borrowed until the next refresh; as the file has it, not yet clean. */
const char *passwd_name(const struct passwd *passwd, uint32_t id) __attribute__((nonnull));

/* Pure: names are terminated in `text` itself (so it is changed), users ascend by number, the first of several lines
 * with one number counts, as for getpwuid(). Lines that are none are passed over. Returns how many. */
size_t passwd_parse(char *text, size_t len, struct passwd_user *users, size_t max) __attribute__((nonnull));
