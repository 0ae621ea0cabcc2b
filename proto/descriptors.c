#include "proto/descriptors.h"

#include "common/embed.h"
#include "service_schema.fds.h"
#include "snapshot_schema.fds.h"

EMBED(sonde_fds_snapshot, FDS_DIR "/snapshot_schema.fds");
EMBED(sonde_fds_services, FDS_DIR "/service_schema.fds");

extern const uint8_t sonde_fds_snapshot_begin[], sonde_fds_snapshot_end[];
extern const uint8_t sonde_fds_services_begin[], sonde_fds_services_end[];

struct descriptor_blob descriptors_snapshot(void)
{
	return (struct descriptor_blob){
		.data = sonde_fds_snapshot_begin,
		.len = (size_t)(sonde_fds_snapshot_end - sonde_fds_snapshot_begin),
		.sha256 = SNAPSHOT_SCHEMA_SHA256,
	};
}

struct descriptor_blob descriptors_services(void)
{
	return (struct descriptor_blob){
		.data = sonde_fds_services_begin,
		.len = (size_t)(sonde_fds_services_end - sonde_fds_services_begin),
		.sha256 = SERVICE_SCHEMA_SHA256,
	};
}
