/* What people call a control group, told from its path: units of systemd, containers of Docker, Podman, containerd,
 * CRI-O, LXC and nspawn, pods of Kubernetes, by either cgroup driver. Pure. */
#pragma once

#include <stddef.h>

#define CGROUP_NAME_SIZE 128
#define CGROUP_CONTAINER_ID_SIZE 65 /* 64 hexadecimal digits */
#define CGROUP_POD_UID_SIZE 37

struct cgroup_name {
	char name[CGROUP_NAME_SIZE]; /* never "" */
	const char *manager; /* "systemd", "docker", "podman", "containerd", "crio", "kubernetes", "lxc", "nspawn" or
				"" */
	char container_id[CGROUP_CONTAINER_ID_SIZE]; /* "" where it is no container */
	char pod_uid[CGROUP_POD_UID_SIZE];	     /* with dashes; "" where it belongs to no pod */
};

/* path begins with '/'; any bytes. */
void cgroup_name(const char *path, size_t len, struct cgroup_name *ret) __attribute__((nonnull));
