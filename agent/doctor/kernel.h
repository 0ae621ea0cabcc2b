/* What the running kernel and its switches allow: /proc/sys, /sys/kernel, the system calls themselves. Main thread. */
#pragma once

#include "agent/doctor/report.h"
#include "agent/host/root.h"

#include <stddef.h>

/* Group "kernel". btf_path: --btf, or NULL. */
void kernel_report(const struct root *root, const char *btf_path, struct report *report) __attribute__((nonnull(1, 3)));
/* Group "rights": capabilities, seccomp, what the two system calls really answer. */
void rights_report(const struct root *root, struct report *report) __attribute__((nonnull));
/* Group "limits". */
void limits_report(struct report *report) __attribute__((nonnull));
/* Group "clock". */
void clock_report(const struct root *root, struct report *report) __attribute__((nonnull));

/* "none [integrity] confidentiality\n": the word in brackets. Its length, or -EPROTO; cut at size. Pure. */
int kernel_lockdown_parse(const char *text, size_t len, char *ret, size_t size)
	__attribute__((nonnull, warn_unused_result));
