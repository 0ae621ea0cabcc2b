/* Names are looked up only for the rows that are shown, by bisection. */
#include "agent/processes/passwd.h"

#include "agent/scan.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PATH "etc/passwd"

static int compare(const void *a, const void *b)
{
	const struct passwd_user *x = a, *y = b;
	if (x->id != y->id)
		return x->id < y->id ? -1 : 1;
	return x->name < y->name ? -1 : x->name > y->name;
}

/* root:x:0:0:root:/root:/bin/bash */
static bool parse_line(struct scan line, struct word *ret_name, uint64_t *ret_id)
{
	struct word password, id;
	return scan_until(&line, ':', ret_name) == 0 && ret_name->len > 0 && scan_until(&line, ':', &password) == 0 &&
	       scan_until(&line, ':', &id) == 0 && word_u64(id, ret_id) == 0 && *ret_id <= UINT32_MAX;
}

size_t passwd_parse(char *text, size_t len, struct passwd_user *users, size_t max)
{
	struct scan rest = scan_text(text, len), line;
	size_t n = 0;
	while (n < max && scan_line(&rest, &line) > 0) {
		struct word name;
		uint64_t id;
		if (!parse_line(line, &name, &id))
			continue;
		text[name.text + name.len - text] = '\0';
		users[n++] = (struct passwd_user){.id = (uint32_t)id, .name = (uint32_t)(name.text - text)};
	}
	qsort(users, n, sizeof(*users), compare);
	size_t kept = 0;
	for (size_t i = 0; i < n; i++) {
		if (kept == 0 || users[kept - 1].id != users[i].id)
			users[kept++] = users[i];
	}
	return kept;
}

static void forget(struct passwd *passwd)
{
	free(passwd->text);
	free(passwd->users);
	passwd->text = NULL;
	passwd->users = NULL;
	passwd->n = 0;
}

void passwd_free(struct passwd *passwd)
{
	if (passwd)
		forget(passwd);
}

static void load(struct passwd *passwd)
{
	struct root_file file;
	forget(passwd);
	if (root_file_open(passwd->root, PATH, PASSWD_FILE_MAX, &file) < 0)
		return;
	if (root_file_read(&file) == 0) {
		size_t max = scan_count_lines(file.text, file.len);
		if (max > PASSWD_USERS_MAX)
			max = PASSWD_USERS_MAX;
		passwd->users = max > 0 ? malloc(max * sizeof(*passwd->users)) : NULL;
		if (passwd->users) {
			passwd->n = passwd_parse(file.text, file.len, passwd->users, max);
			passwd->text = file.text;
			file.text = NULL;
		}
	}
	root_file_close(&file);
}

void passwd_refresh(struct passwd *passwd, uint64_t now_us)
{
	struct stat st;
	if (now_us < passwd->next_us)
		return;
	passwd->next_us = now_us + PASSWD_CHECK_US;
	if (fstatat(passwd->root->dirfd, PATH, &st, 0) < 0) {
		forget(passwd);
		passwd->changed = (struct timespec){.tv_sec = 0};
		passwd->inode = 0;
		return;
	}
	if (st.st_mtim.tv_sec == passwd->changed.tv_sec && st.st_mtim.tv_nsec == passwd->changed.tv_nsec &&
	    st.st_size == passwd->size && st.st_ino == passwd->inode)
		return;
	load(passwd);
	passwd->changed = st.st_mtim;
	passwd->size = st.st_size;
	passwd->inode = st.st_ino;
}

const char *passwd_name(const struct passwd *passwd, uint32_t id)
{
	size_t low = 0, high = passwd->n;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (passwd->users[mid].id < id)
			low = mid + 1;
		else
			high = mid;
	}
	return low < passwd->n && passwd->users[low].id == id ? passwd->text + passwd->users[low].name : NULL;
}
