/* /proc/vmstat; all there is to know about it is in proc_vmstat.h. */
#include "agent/collectors/collectors.h"
#include "agent/collectors/proc_vmstat.h"
#include "agent/collectors/source.h"

#include <stdlib.h>
#include <unistd.h>

#define FILE_MAX ((size_t)64 << 10)

struct vmstat {
	struct root_file file;
	uint64_t page_bytes;
	struct proc_vmstat_memo memo;
};

static void destroy(void *self)
{
	struct vmstat *vmstat = self;
	if (!vmstat)
		return;
	root_file_close(&vmstat->file);
	free(vmstat);
}

static int create(const struct collector_context *context, void **ret_self, struct collector_state *state)
{
	struct vmstat *self = calloc(1, sizeof(*self));
	if (!self)
		return source_no_room(state);
	int r = source_open(context, "proc/vmstat", FILE_MAX, &self->file, state);
	if (r < 0) {
		destroy(self);
		return r;
	}
	self->file.has_short_records = true;
	long page = sysconf(_SC_PAGESIZE);
	self->page_bytes = page > 0 ? (uint64_t)page : 4096;
	*ret_self = self;
	return 0;
}

static int collect(void *opaque, struct tick *tick, ProtobufCMessage *section)
{
	struct vmstat *self = opaque;
	int r = source_read(&self->file, tick->state);
	if (r < 0)
		return r;
	r = proc_vmstat_parse(self->file.text, self->file.len, self->page_bytes, &self->memo,
			      (Sonde__V1__Vmstat *)section);
	return r < 0 ? source_malformed(&self->file, r, tick->state) : 0;
}

const struct collector collector_vmstat = {
	.name = "vmstat",
	.reads = "/proc/vmstat",
	.needs = "",
	.create = create,
	.collect = collect,
	.destroy = destroy,
};
