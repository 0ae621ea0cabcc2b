/* /proc/PID/... read the plain way, to compare with. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* text, terminated; NULL when there is no such process or nothing in the file. */
char *proc_text(int pid, const char *name, char *text, size_t size);
/* Field of /proc/PID/stat by its number in proc(5), after the name. */
uint64_t stat_field(const char *text, int number);
/* The number that follows `name`. */
uint64_t named_field(const char *text, const char *name);
