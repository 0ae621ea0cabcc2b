#include "agent/hello.h"

#include "agent/collector.h"
#include "proto/descriptors.h"

#include <sonde/v1/ingest.pb-c.h>

/* Strings and bytes are only packed, never written to; protobuf-c has no const. */
static char *borrow(const char *s)
{
	return s[0] != '\0' ? (char *)s : NULL;
}

static ProtobufCBinaryData borrow_bytes(const uint8_t *data, size_t len)
{
	return (ProtobufCBinaryData){.data = (uint8_t *)data, .len = len};
}

static void fill_facts(const struct facts *from, Sonde__V1__HostFacts *to)
{
	to->agent_version = borrow(SONDE_VERSION);
	to->kernel = borrow(from->kernel);
	to->architecture = borrow(from->architecture);
	to->os = borrow(from->os);
	to->cpu_model = borrow(from->cpu_model);
	if (from->cpus > 0)
		SET(to, cpus, from->cpus);
	if (from->memory_bytes > 0)
		SET(to, memory_bytes, from->memory_bytes);
}

int hello_pack(const char *host_id, const uint8_t boot_id[16], const uint8_t instance[16], const struct facts *facts,
	       struct buf *out)
{
	Sonde__V1__Hello hello = SONDE__V1__HELLO__INIT;
	Sonde__V1__HostFacts host = SONDE__V1__HOST_FACTS__INIT;
	struct descriptor_blob set = descriptors_snapshot();

	hello.host_id = borrow(host_id);
	hello.hostname = borrow(facts->hostname);
	SET(&hello, instance, borrow_bytes(instance, 16));
	SET(&hello, boot_id, borrow_bytes(boot_id, 16));
	SET(&hello, descriptor_hash, borrow_bytes(set.sha256, sizeof(set.sha256)));
	fill_facts(facts, &host);
	hello.facts = &host;
	SET(&hello, takes_hold, true);

	int r = buf_reserve(out, sonde__v1__hello__get_packed_size(&hello));
	if (r < 0)
		return r;
	out->len += sonde__v1__hello__pack(&hello, out->data + out->len);
	return 0;
}
