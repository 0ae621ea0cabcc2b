/* An array is one line that begins in the first column and the indented lines below it. */
#include "agent/collectors/proc_mdstat.h"

#include "agent/scan.h"

#include <errno.h>
#include <string.h>

static bool ends_with(struct word word, const char *text)
{
	size_t len = strlen(text);
	return word.len >= len && memcmp(word.text + word.len - len, text, len) == 0;
}

static bool contains(struct word word, const char *text)
{
	return memmem(word.text, word.len, text, strlen(text)) != NULL;
}

static void set_state(struct mdstat_row *row, struct word word)
{
	row->state = word.text;
	row->state_len = word.len;
}

/* sdb1[1] sda1[0](F): a disk, with what it is marked as. */
static void parse_disk(struct word word, struct mdstat_row *row)
{
	if (contains(word, "](") && contains(word, "(F)"))
		row->failed++;
	else if (ends_with(word, "(S)"))
		row->spare++;
}

/* md0 : active (auto-read-only) raid5 sdd1[3] sdc1[1](F) sda1[0](S) */
static int parse_head(struct scan *line, struct mdstat_row *row)
{
	struct word word;
	if (scan_word(line, &word) < 0 || word.len > MDSTAT_NAME_MAX)
		return -EPROTO;
	row->name = word.text;
	row->name_len = word.len;
	if (scan_word(line, &word) < 0 || !word_is(word, ":") || scan_word(line, &word) < 0)
		return -EPROTO;
	set_state(row, word);
	bool active = word_is(word, "active");
	while (scan_word(line, &word) == 0) {
		if (word_is(word, "(read-only)") || word_is(word, "(auto-read-only)"))
			set_state(row, (struct word){word.text + 1, word.len - 2});
		else if (memchr(word.text, '[', word.len))
			parse_disk(word, row);
		else if (active && !row->level && word.text[0] != '(') {
			row->level = word.text;
			row->level_len = word.len;
		}
	}
	return 0;
}

/* "12" of "12K/sec" */
static uint64_t leading_number(const char *text, size_t len)
{
	size_t digits = 0;
	uint64_t number;
	while (digits < len && text[digits] >= '0' && text[digits] <= '9')
		digits++;
	return word_u64((struct word){text, digits}, &number) == 0 ? number : 0;
}

/* "3/2" between `open` and `close`, the whole word. */
static bool parse_pair(struct word word, char open, char close, uint64_t *ret_a, uint64_t *ret_b)
{
	if (word.len < 5 || word.text[0] != open || word.text[word.len - 1] != close)
		return false;
	struct word inner = {word.text + 1, word.len - 2};
	const char *slash = memchr(inner.text, '/', inner.len);
	if (!slash)
		return false;
	size_t before = (size_t)(slash - inner.text);
	return word_u64((struct word){inner.text, before}, ret_a) == 0 &&
	       word_u64((struct word){slash + 1, inner.len - before - 1}, ret_b) == 0;
}

/*       1953260544 blocks super 1.2 level 5, 512k chunk, algorithm 2 [3/2] [UU_] */
static void parse_blocks(struct scan line, struct mdstat_row *row)
{
	struct word word;
	uint64_t number, total, active;
	if (scan_u64(&line, &number) < 0 || scan_word(&line, &word) < 0 || !word_is(word, "blocks"))
		return;
	row->has_blocks = true;
	row->blocks = number;
	while (scan_word(&line, &word) == 0) {
		if (parse_pair(word, '[', ']', &total, &active) && total <= UINT32_MAX && active <= UINT32_MAX) {
			row->has_disks = true;
			row->total = (uint32_t)total;
			row->active = (uint32_t)active;
		}
	}
}

static void set_action(struct mdstat_row *row, enum mdstat_sync sync, struct word action)
{
	row->sync = sync;
	row->action = action.text;
	row->action_len = action.len;
}

static bool is_action(struct word word)
{
	return word_is(word, "resync") || word_is(word, "recovery") || word_is(word, "check") ||
	       word_is(word, "reshape");
}

/*       resync=DELAYED */
static bool parse_waiting(struct word word, struct mdstat_row *row)
{
	static const struct {
		const char *text;
		enum mdstat_sync sync;
	} states[] = {
		{"DELAYED", MDSTAT_SYNC_DELAYED}, {"PENDING", MDSTAT_SYNC_PENDING}, {"REMOTE", MDSTAT_SYNC_REMOTE}};
	const char *equals = memchr(word.text, '=', word.len);
	if (!equals)
		return false;
	struct word action = {word.text, (size_t)(equals - word.text)};
	struct word state = {equals + 1, word.len - action.len - 1};
	for (size_t i = 0; is_action(action) && i < sizeof(states) / sizeof(states[0]); i++) {
		if (word_is(state, states[i].text)) {
			set_action(row, states[i].sync, action);
			return true;
		}
	}
	return false;
}

/*       [==>..................]  recovery = 12.6% (37043392/292945152) finish=127.5min speed=33440K/sec */
static void parse_sync(struct scan line, struct mdstat_row *row)
{
	struct word word;
	uint64_t done, todo;
	bool running = false;
	while (scan_word(&line, &word) == 0) {
		if (parse_waiting(word, row))
			return;
		if (is_action(word)) {
			set_action(row, MDSTAT_SYNC_RUNNING, word);
			running = true;
		} else if (running && parse_pair(word, '(', ')', &done, &todo) && todo > 0 && done <= todo) {
			row->has_progress = true;
			row->done = done;
			row->todo = todo;
		} else if (running && word_starts(word, "speed=")) {
			row->speed_kib = leading_number(word.text + 6, word.len - 6);
		}
	}
}

/* Personalities : [raid1] [raid6]
 * read_ahead not set
 * unused devices: <none> */
static bool is_array(struct scan line)
{
	struct word word;
	return scan_word(&line, &word) == 0 && !word_is(word, "Personalities") && !word_is(word, "read_ahead") &&
	       !word_is(word, "unused");
}

static bool is_indented(struct scan line)
{
	return line.p == line.end || *line.p == ' ' || *line.p == '\t';
}

int proc_mdstat_next(struct proc_mdstat_reader *reader, struct mdstat_row *ret)
{
	struct scan rest = {reader->p, reader->end}, line;
	struct mdstat_row row = {.name = NULL};
	int r;
	while ((r = scan_line(&rest, &line)) > 0) {
		if (!is_indented(line) && is_array(line))
			break;
	}
	if (r <= 0)
		return r;
	r = parse_head(&line, &row);
	if (r < 0)
		return r;
	struct scan below = rest;
	while ((r = scan_line(&below, &line)) > 0 && is_indented(line)) {
		if (!row.has_blocks)
			parse_blocks(line, &row);
		if (row.sync == MDSTAT_SYNC_NONE)
			parse_sync(line, &row);
		rest = below;
	}
	if (r < 0)
		return r;
	reader->p = rest.p;
	*ret = row;
	return 1;
}
