/* /proc/meminfo; all there is to know about it is in proc_meminfo.h. */
#include "agent/collectors/collectors.h"
#include "agent/collectors/proc_meminfo.h"
#include "agent/collectors/source.h"

#include <stdlib.h>

#define FILE_MAX ((size_t)64 << 10)

struct memory {
	struct root_file file;
};

static void destroy(void *self)
{
	struct memory *memory = self;
	if (!memory)
		return;
	root_file_close(&memory->file);
	free(memory);
}

static int create(const struct collector_context *context, void **ret_self, struct collector_state *state)
{
	struct memory *self = calloc(1, sizeof(*self));
	if (!self)
		return source_no_room(state);
	int r = source_open(context, "proc/meminfo", FILE_MAX, &self->file, state);
	if (r < 0) {
		destroy(self);
		return r;
	}
	*ret_self = self;
	return 0;
}

static int collect(void *opaque, struct tick *tick, ProtobufCMessage *section)
{
	struct memory *self = opaque;
	int r = source_read(&self->file, tick->state);
	if (r < 0)
		return r;
	r = proc_meminfo_parse(self->file.text, self->file.len, (Sonde__V1__Memory *)section);
	return r < 0 ? source_malformed(&self->file, r, tick->state) : 0;
}

const struct collector collector_memory = {
	.name = "memory",
	.reads = "/proc/meminfo",
	.needs = "",
	.create = create,
	.collect = collect,
	.destroy = destroy,
};
