#include "proto/comments.h"

#include "common/embed.h"

EMBED(sonde_fds_documented, FDS_DIR "/documented_schema.fds");

extern const uint8_t sonde_fds_documented_begin[], sonde_fds_documented_end[];

const uint8_t *comments_set(size_t *ret_len)
{
	*ret_len = (size_t)(sonde_fds_documented_end - sonde_fds_documented_begin);
	return sonde_fds_documented_begin;
}
