/* Path and query of a REST request: "METHOD PATH?ARGUMENT&ARGUMENT...". */
#include "backend/web/route.h"

#include "proto/descriptors.h"

#include <stdlib.h>
#include <string.h>

static const struct api_operation operations[] = {
	{.name = "GetHost",
	 .request_type = "sonde.v1.GetHostRequest",
	 .http_method = "GET",
	 .http_path = "/api/servers/{hostname}"},
	{.name = "Host", .request_type = "sonde.v1.Host", .http_method = "GET", .http_path = "/types/{host_id}"},
	{.name = "Health", .request_type = "sonde.v1.GetHealthReply", .http_method = "PUT", .http_path = "/types"},
};

static struct route_table *make_table(void)
{
	struct descriptor_blob set = descriptors_services();
	struct route_table *table;
	if (route_table_new(operations, sizeof(operations) / sizeof(operations[0]), set.data, set.len, &table) < 0)
		abort();
	return table;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct route_table *table; /* made once: compiling the set is not what is tried here */
	if (!table)
		table = make_table();
	const char *text = (const char *)data, *end = text + size;
	bool put = size > 0 && text[0] == 'P';
	const char *path = text + (size > 0);
	const char *question = memchr(path, '?', (size_t)(end - path));
	const char *stop = question ? question : end;
	struct route_match match;
	if (size == 0 || route_find(table, put ? "PUT" : "GET", path, (size_t)(stop - path), &match) != ROUTE_FOUND)
		return 0;
	struct route_text arguments[ROUTE_MAX_ARGUMENTS + 1];
	size_t n = 0;
	for (const char *p = question ? question + 1 : end; p < end && n <= ROUTE_MAX_ARGUMENTS; n++) {
		const char *amp = memchr(p, '&', (size_t)(end - p));
		arguments[n] = (struct route_text){.text = p, .len = (size_t)((amp ? amp : end) - p)};
		p = amp ? amp + 1 : end;
	}
	struct buf BUF_CLEANUP out = BUF_INIT(ROUTE_MAX_REQUEST);
	char error[256];
	(void)!route_request(table, &match, arguments, n, &out, error, sizeof(error));
	return 0;
}
