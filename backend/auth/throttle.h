/* Failed logins per account: five are free, then each failure doubles the wait, up to a quarter of an hour. The table
 * is bounded: when it is full the entry with the fewest failures makes room, the quietest of them. Time is an argument,
 * so that tests need not wait. Thread-safe. */
#pragma once

#include <stdint.h>

#define THROTTLE_ACCOUNTS 4096
#define THROTTLE_FREE_FAILURES 5
#define THROTTLE_LONGEST_S 900

struct throttle;

struct throttle *throttle_new(void);
void throttle_free(struct throttle *throttle); /* accepts NULL */

/* Seconds the account has to wait; 0 if it may try now. A try that may go on counts as a failure until
 * throttle_success(), so that a hundred tries at the same time are a hundred tries. */
uint32_t throttle_try(struct throttle *throttle, const char *account, uint64_t now_s);
void throttle_success(struct throttle *throttle, const char *account);
/* Takes a try back whose password nobody looked at. */
void throttle_undo(struct throttle *throttle, const char *account);
