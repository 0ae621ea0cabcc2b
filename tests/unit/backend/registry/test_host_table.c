#include "backend/registry/host_table.h"
#include "tests/unit/cmocka_all.h"

#include <stdio.h>
#include <string.h>

#define N 1000

static void id_of(uint32_t i, uint8_t id[16])
{
	uint32_t scattered = i * 2654435761u; /* odd: no two are the same */
	memset(id, 0, 16);
	memcpy(id + 6, &scattered, sizeof(scattered));
}

static struct host *named(struct host_table *table, uint32_t i, int64_t tenant_id, const char *hostname)
{
	uint8_t id[16];
	id_of(i, id);
	struct host *host = host_table_obtain(table, id);
	assert_non_null(host);
	host->tenant_id = tenant_id;
	snprintf(host->hostname, sizeof(host->hostname), "%s", hostname);
	return host;
}

static void hosts_stay_where_they_are_and_in_order(void **state)
{
	struct host_table table = {0};
	struct host *hosts[N];
	uint8_t id[16];
	for (uint32_t i = 0; i < N; i++) {
		id_of(i, id);
		assert_null(host_table_find(&table, id));
		hosts[i] = host_table_obtain(&table, id);
		assert_non_null(hosts[i]);
		assert_memory_equal(hosts[i]->host_id, id, 16);
		assert_int_equal(hosts[i]->status, HOST_OFFLINE);
		assert_ptr_equal(host_table_obtain(&table, id), hosts[i]);
	}
	assert_int_equal(table.n, N);
	for (size_t i = 1; i < table.n; i++)
		assert_true(memcmp(table.rows[i - 1]->host_id, table.rows[i]->host_id, 16) < 0);
	for (uint32_t i = 0; i < N; i++) {
		id_of(i, id);
		assert_ptr_equal(host_table_find(&table, id), hosts[i]);
		assert_ptr_equal(host_table_find_text(&table, hosts[i]->id_text), hosts[i]);
	}
	host_table_clear(&table);
	assert_int_equal(table.n, 0);
	assert_null(host_table_find(&table, id));
	host_table_clear(&table);
}

static void names_are_a_tenants_own(void **state)
{
	struct host_table table = {0};
	struct host *ours = named(&table, 1, 1, "web"), *theirs = named(&table, 2, 2, "web");
	assert_ptr_equal(host_table_find_named(&table, 1, "web"), ours);
	assert_ptr_equal(host_table_find_named(&table, 2, "web"), theirs);
	assert_ptr_equal(host_table_find_named(&table, 2, theirs->id_text), theirs);
	assert_null(host_table_find_named(&table, 1, theirs->id_text));
	assert_null(host_table_find_named(&table, 3, "web"));
	assert_null(host_table_find_named(&table, 1, ""));
	assert_null(host_table_find_text(&table, "web"));
	assert_null(host_table_find_text(&table, "00000000-0000-0000-0000-00000000000"));
	host_table_clear(&table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hosts_stay_where_they_are_and_in_order),
		cmocka_unit_test(names_are_a_tenants_own),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
