#include "agent/collectors/proc_net_softnet.h"

#include "agent/scan.h"

#include <errno.h>

#define FEWEST_COLUMNS 9

/* 000b1d11 00000000 00000001 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000001
 */
int proc_net_softnet_next(struct proc_net_softnet_reader *reader, struct softnet_row *ret)
{
	struct scan rest = {reader->p, reader->end}, line;
	struct softnet_row row = {.n_values = 0};
	int r = scan_line(&rest, &line);
	if (r <= 0)
		return r;
	while (row.n_values < SOFTNET_COLUMNS && !scan_at_end(&line)) {
		struct word word;
		r = scan_word(&line, &word);
		if (r == 0)
			r = word_hex_u32(word, &row.values[row.n_values]);
		if (r < 0)
			return r;
		row.n_values++;
	}
	if (row.n_values < FEWEST_COLUMNS)
		return -EPROTO;
	reader->p = rest.p;
	*ret = row;
	return 1;
}
