/* Messages of live clients, in both forms. */
#include "backend/web/live_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct live_request request;
	char error[160];
	if (size > LIVE_REQUEST_MAX)
		return 0;
	if (live_request_parse_wire(data, size, &request, error, sizeof(error)) == 0)
		live_subscription_free(&request.subscription);
	if (live_request_parse_json((const char *)data, size, &request, error, sizeof(error)) == 0)
		live_subscription_free(&request.subscription);
	return 0;
}
