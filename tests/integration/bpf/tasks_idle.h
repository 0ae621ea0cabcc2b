/* Tests of the part of the task iterator that does not read again who has not run (T11 in bpf/README.md). */
#pragma once

/* A crowd of which a few work between two readings: every row as exact as the kernel's clock of the process. */
void sleepers_are_as_exact_as_workers(void **state);
/* What others change of a process that sleeps comes in a few readings. */
void changes_from_outside_come_in_turns(void **state);
