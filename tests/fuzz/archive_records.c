/* What stands in a backup: the first byte says what it is taken for. */
#include "backend/archive/records.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const uint8_t *host_id;
	struct store_record record;
	struct store_chunk chunk;
	struct store_row row;
	if (len == 0)
		return 0;
	if (data[0] == RECORD_ROW)
		(void)!record_take_row(data + 1, len - 1, &host_id, &row);
	else if (data[0] == RECORD_CHUNK)
		(void)!record_take_chunk(data + 1, len - 1, &host_id, &chunk);
	else
		(void)!record_take_values((enum store_table)data[0], data + 1, len - 1, &record);
	return 0;
}
