/* The serialised FileDescriptorSets this build was made from, embedded at build time. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct descriptor_blob {
	const uint8_t *data;
	size_t len;
	uint8_t sha256[32]; /* of data; what Hello.descriptor_hash carries */
};

/* sonde/v1/snapshot.proto with its imports: what a Snapshot is. */
struct descriptor_blob descriptors_snapshot(void);

/* The above and every service the backend offers: for reflection, JSON and the API. */
struct descriptor_blob descriptors_services(void);
