/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The same object without a call of kernel functions, for kernels that lack those of the walk: libbpf looks for what
 * the kernel's types do not name in those of its modules, and whoever has no CAP_SYS_ADMIN may not list them. Then
 * nothing of the object loads, though no program that is wanted calls any. */
#define TASKS_WITHOUT_KERNEL_FUNCTIONS
#include "tasks.bpf.c"
