#include "tests/unit/backend/store/database.h"

#include "backend/store/postgres_url.h"
#include "tests/unit/cmocka_all.h"

PGconn *database_connect(const char *url)
{
	struct postgres_url parsed;
	char *error = NULL;
	if (postgres_url_parse(url, &parsed, &error) < 0)
		fail_msg("%s", error ? error : "no memory");
	PGconn *conn = PQconnectdb(parsed.conninfo);
	postgres_url_free(&parsed);
	return conn;
}
