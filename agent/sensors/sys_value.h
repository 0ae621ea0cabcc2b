/* The texts of small sysfs files. Pure. */
#pragma once

#include "agent/scan.h"

/* "-5000\n": a decimal number, perhaps negative, white space behind it. 0 or -EPROTO. */
int sys_value_parse(const char *text, size_t len, int64_t *ret) __attribute__((nonnull, warn_unused_result));
/* PCI_ID=1002:73BF: one variable of a uevent file. 0 or -ENOENT. */
int sys_uevent_find(const char *text, size_t len, const char *name, struct word *ret)
	__attribute__((nonnull, warn_unused_result));
