#include "backend/archive/progress.h"

#include "common/clock.h"

#include <stdio.h>
#include <unistd.h>

#define EVERY_NS 200000000
#define WIDTH 30

struct progress progress_begin(const char *what)
{
	return (struct progress){.what = what, .shown = isatty(STDERR_FILENO) == 1};
}

void progress_text(char *text, size_t size, const char *what, uint64_t done, uint64_t total, const char *unit)
{
	char bar[WIDTH + 1];
	if (total == 0) {
		snprintf(text, size, "%s: %llu%s", what, (unsigned long long)done, unit);
		return;
	}
	/* What is written while it is copied makes more than there was. */
	double part = done < total ? (double)done / (double)total : 1;
	for (int i = 0; i < WIDTH; i++)
		bar[i] = i < (int)(part * WIDTH) ? '#' : '-';
	bar[WIDTH] = '\0';
	snprintf(text, size, "%s [%s] %3d%%  %llu of %llu%s", what, bar, (int)(part * 100), (unsigned long long)done,
		 (unsigned long long)(done < total ? total : done), unit);
}

void progress_show(struct progress *p, uint64_t done, uint64_t total, const char *unit)
{
	char text[160];
	if (!p->shown || clock_monotonic_ns() < p->next_ns)
		return;
	p->next_ns = clock_monotonic_ns() + EVERY_NS;
	p->drawn = true;
	progress_text(text, sizeof(text), p->what, done, total, unit);
	fprintf(stderr, "\r%s\033[K", text);
	fflush(stderr);
}

void progress_end(struct progress *p)
{
	if (p->drawn)
		fputs("\r\033[K", stderr);
	p->drawn = false;
}
