#include "agent/collectors/proc_loadavg.h"

#include "agent/scan.h"

#include <errno.h>

static int parse_decimal(struct scan *line, double *ret)
{
	struct word word;
	int r = scan_word(line, &word);
	return r < 0 ? r : word_decimal(word, ret);
}

/* 0.20 0.18 0.12 1/80 11206 */
int proc_loadavg_parse(const char *text, size_t len, struct proc_loadavg *ret)
{
	struct proc_loadavg out;
	struct scan rest = scan_text(text, len), line;
	int r = scan_line(&rest, &line);
	if (r <= 0)
		return -EPROTO;
	if ((r = parse_decimal(&line, &out.load1)) < 0 || (r = parse_decimal(&line, &out.load5)) < 0 ||
	    (r = parse_decimal(&line, &out.load15)) < 0)
		return r;
	struct word running, threads;
	if (scan_until(&line, '/', &running) < 0 || scan_word(&line, &threads) < 0)
		return -EPROTO;
	if (word_u64(running, &out.running) < 0 || word_u64(threads, &out.threads) < 0)
		return -EPROTO;
	*ret = out;
	return 0;
}
