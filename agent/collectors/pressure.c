/* /proc/pressure/{cpu,memory,io,irq}. A kernel without pressure accounting has no such directory; one told psi=0 has
 * none either, or (by version) refuses with EOPNOTSUPP when a file is opened or read. irq alone may be missing: it
 * wants accounting of interrupt time. Averages are the kernel's; ratios over the tick are summary.c's. */
#include "agent/collectors/collectors.h"
#include "agent/collectors/psi.h"
#include "agent/collectors/source.h"

#include <errno.h>
#include <stdlib.h>

#define FILE_MAX 4096

enum { CPU, MEMORY, IO, IRQ, FILES };

static const char *const paths[FILES] = {
	[CPU] = "proc/pressure/cpu",
	[MEMORY] = "proc/pressure/memory",
	[IO] = "proc/pressure/io",
	[IRQ] = "proc/pressure/irq",
};

struct pressure {
	struct root_file files[FILES];
	bool there[FILES];
};

static void destroy(void *opaque)
{
	struct pressure *self = opaque;
	if (!self)
		return;
	for (int i = 0; i < FILES; i++)
		root_file_close(&self->files[i]);
	free(self);
}

static bool is_not_accounted(int error)
{
	return error == -ENOENT || error == -EOPNOTSUPP;
}

static int fail_not_accounted(struct collector_state *state)
{
	return collector_fail(
		state, SONDE__V1__STATE__CODE__CODE_UNAVAILABLE, -EOPNOTSUPP, "psi_disabled",
		"the kernel accounts no pressure (proc/pressure): it wants Linux 4.20 built with CONFIG_PSI, "
		"and psi=1 on its command line where that is not the default");
}

static int create(const struct collector_context *context, void **ret_self, struct collector_state *state)
{
	struct pressure *self = calloc(1, sizeof(*self));
	if (!self)
		return source_no_room(state);
	int n = 0, failure = 0;
	for (int i = 0; i < FILES; i++) {
		struct collector_state why = {.reason = ""};
		int r = source_open(context, paths[i], FILE_MAX, &self->files[i], &why);
		self->there[i] = r == 0;
		self->files[i].has_short_records = true;
		n += self->there[i];
		if (r < 0 && !is_not_accounted(r) && failure == 0) {
			failure = r;
			*state = why;
		}
	}
	if (n == 0) {
		destroy(self);
		return failure < 0 ? failure : fail_not_accounted(state);
	}
	*state = (struct collector_state){.reason = ""};
	*ret_self = self;
	return 0;
}

/* 0 with *ret NULL for a resource that is not accounted. */
static int take(struct root_file *file, struct tick *tick, Sonde__V1__PressureStall **ret)
{
	struct collector_state why = {.reason = ""};
	struct psi psi;
	int r = source_read(file, &why);
	if (is_not_accounted(r))
		return 0;
	if (r < 0) {
		*tick->state = why;
		return r;
	}
	r = psi_parse(file->text, file->len, &psi);
	if (r < 0)
		return source_malformed(file, r, tick->state);
	*ret = psi_message(&psi, tick->arena);
	return *ret ? 0 : source_no_room(tick->state);
}

static int collect(void *opaque, struct tick *tick, ProtobufCMessage *section)
{
	struct pressure *self = opaque;
	Sonde__V1__Pressure *out = (Sonde__V1__Pressure *)section;
	Sonde__V1__PressureStall **const fields[FILES] = {
		[CPU] = &out->cpu, [MEMORY] = &out->memory, [IO] = &out->io, [IRQ] = &out->irq};
	bool any = false;
	for (int i = 0; i < FILES; i++) {
		int r = self->there[i] ? take(&self->files[i], tick, fields[i]) : 0;
		if (r < 0)
			return r;
		any = any || *fields[i];
	}
	return any ? 0 : fail_not_accounted(tick->state);
}

const struct collector collector_pressure = {
	.name = "pressure",
	.reads = "/proc/pressure/cpu, memory, io, irq",
	.needs = "CONFIG_PSI, psi=1",
	.create = create,
	.collect = collect,
	.destroy = destroy,
};
