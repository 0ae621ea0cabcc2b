/* How many files the agent may hold open. */
#pragma once

#include <stddef.h>

/* Raises the soft limit to the hard one and returns what holds afterwards; 0 when it cannot be told. Any thread. */
size_t descriptors_raise(void);
