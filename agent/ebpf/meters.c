#include "agent/ebpf/meters.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static uint32_t count(meter_names names)
{
	uint32_t n = 0;
	while (names && names[n])
		n++;
	return n;
}

int meters_size(struct bpf_object *object, meter_names names, uint32_t cpus)
{
	struct bpf_map *map = bpf_object__find_map_by_name(object, "meters");
	uint32_t n = count(names);
	return map && n > 0 ? bpf_map__set_max_entries(map, cpus * n) : 0;
}

int meters_map(struct bpf_object *object, meter_names names, struct meters *ret)
{
	const struct bpf_map *map = bpf_object__find_map_by_name(object, "meters");
	uint32_t n = count(names);
	if (!map || n == 0)
		return 0;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t bytes = (bpf_map__max_entries(map) * sizeof(struct probe_meter) + page - 1) / page * page;
	void *p = mmap(NULL, bytes, PROT_READ, MAP_SHARED, bpf_map__fd(map), 0);
	if (p == MAP_FAILED)
		return -errno;
	*ret = (struct meters){.names = names, .first = p, .bytes = bytes, .cpus = bpf_map__max_entries(map) / n};
	return 0;
}

void meters_unmap(struct meters *meters)
{
	if (meters->first)
		munmap(meters->first, meters->bytes);
	*meters = (struct meters){.first = NULL};
}

void meters_give(const struct meters *meters, struct program *program)
{
	for (uint32_t i = 0; meters->first && meters->names[i]; i++) {
		size_t n = strlen(meters->names[i]);
		if (strncmp(meters->names[i], program->name, n) != 0 ||
		    (program->name[n] != '\0' && program->name[n] != '_'))
			continue;
		program->meters = &meters->first[i];
		program->cpus = meters->cpus;
		program->stride = count(meters->names);
		return;
	}
}

void meters_list_attached(struct programs *programs, const char *probe, const struct bpf_program *program,
			  const char *attach, const struct meters *meters)
{
	struct program listed = {
		.probe = probe, .attach = attach, .state = PROGRAM_ATTACHED, .fd = bpf_program__fd(program)};
	const char *name = bpf_program__name(program);
	memcpy(listed.name, name, strnlen(name, sizeof(listed.name) - 1));
	meters_give(meters, &listed);
	(void)programs_add(programs, &listed);
}
