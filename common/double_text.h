/* Doubles as text that reads back as the same number. Pure. */
#pragma once

#include <stddef.h>

#define DOUBLE_TEXT_SIZE 32

/* Of "%.15g", "%.16g" and "%.17g" the first that reads back as d, which is finite. Returns its length. */
size_t double_text(double d, char ret[DOUBLE_TEXT_SIZE]) __attribute__((nonnull));
