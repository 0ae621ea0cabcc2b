/* The test's own connection to the PostgreSQL database that SONDE_TEST_STORE names, beside the store's. */
#pragma once

#include <libpq-fe.h>

/* Of a URL as --store takes it, with parameters of ours; fails the test if it is none. The caller's to finish. */
PGconn *database_connect(const char *url);
