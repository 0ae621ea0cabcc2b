#include "agent/collectors/source.h"

#include "common/log.h"

#include <errno.h>

int source_open(const struct collector_context *context, const char *path, size_t max, struct root_file *ret,
		struct collector_state *state)
{
	int r = root_file_open(context->root, path, max, ret);
	if (r == -ENOENT)
		return collector_fail(state, SONDE__V1__STATE__CODE__CODE_UNAVAILABLE, r, "no_file",
				      "%s does not exist below %s: is the file system mounted there?", path,
				      context->root->path);
	if (r == -EACCES || r == -EPERM)
		return collector_fail(state, SONDE__V1__STATE__CODE__CODE_DENIED, r, "no_permission",
				      "%s cannot be opened: let the agent's user read it", path);
	if (r < 0)
		return collector_fail(state, SONDE__V1__STATE__CODE__CODE_FAILED, r, "cannot_open",
				      "%s cannot be opened: %s", path, log_strerror(r));
	return 0;
}

int source_read(struct root_file *file, struct collector_state *state)
{
	int r = root_file_read(file);
	if (r == -EMSGSIZE)
		return source_malformed(file, r, state);
	if (r < 0)
		return collector_fail(state, SONDE__V1__STATE__CODE__CODE_FAILED, r, "cannot_read",
				      "%s cannot be read: %s", file->path, log_strerror(r));
	return 0;
}

int source_malformed(const struct root_file *file, int error, struct collector_state *state)
{
	if (error == -EMSGSIZE)
		return collector_fail(state, SONDE__V1__STATE__CODE__CODE_FAILED, error, "too_large",
				      "%s is larger than the %zu bytes the agent reads of it", file->path, file->max);
	return collector_fail(state, SONDE__V1__STATE__CODE__CODE_FAILED, error, "malformed",
			      "%s does not read as the kernel writes it; report it with the kernel's version",
			      file->path);
}

int source_no_room(struct collector_state *state)
{
	return collector_fail(state, SONDE__V1__STATE__CODE__CODE_FAILED, -ENOMEM, "out_of_memory",
			      "the snapshot has no room for this section");
}
