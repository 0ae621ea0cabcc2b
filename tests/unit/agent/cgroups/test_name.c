/* Shapes of paths as the managers make them. */
#include "agent/cgroups/name.h"
#include "tests/unit/cmocka_all.h"

#include <stdlib.h>
#include <string.h>

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define UID "11111111-2222-3333-4444-555555555555"
#define UID_UNDER "11111111_2222_3333_4444_555555555555"
#define STATIC_UID "0123456789abcdef0123456789abcdef"

static const struct {
	const char *path, *name, *manager, *container, *pod;
} cases[] = {
	{"/", "/", "", "", ""},
	{"", "/", "", "", ""},
	{"/init.scope", "init.scope", "systemd", "", ""},
	{"/system.slice", "system.slice", "systemd", "", ""},
	{"/system.slice/ssh.service", "ssh.service", "systemd", "", ""},
	{"/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service", "systemd", "", ""},
	{"/system.slice/systemd-fsck@dev-disk-by\\x2duuid-1.service", "systemd-fsck@dev-disk-by-uuid-1.service",
	 "systemd", "", ""},
	{"/user.slice/user-1000.slice/user@1000.service/app.slice/run-r1.scope", "run-r1.scope", "systemd", "", ""},
	{"/custom/group", "group", "", "", ""},
	{"/docker/" ID, "container 0123456789ab", "docker", ID, ""},
	{"/system.slice/docker-" ID ".scope", "container 0123456789ab", "docker", ID, ""},
	{"/machine.slice/libpod-" ID ".scope", "container 0123456789ab", "podman", ID, ""},
	{"/machine.slice/libpod-conmon-" ID ".scope", "container 0123456789ab", "podman", ID, ""},
	{"/libpod_parent/libpod-" ID, "container 0123456789ab", "podman", ID, ""},
	{"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" ID ".scope", "container 0123456789ab",
	 "podman", ID, ""},
	{"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" UID_UNDER ".slice/cri-containerd-" ID
	 ".scope",
	 "container 0123456789ab", "containerd", ID, UID},
	{"/kubepods.slice/kubepods-pod" UID_UNDER ".slice/crio-" ID ".scope", "container 0123456789ab", "crio", ID,
	 UID},
	{"/kubepods/burstable/pod" UID "/" ID, "container 0123456789ab", "kubernetes", ID, UID},
	{"/kubepods/besteffort/pod" UID "/crio-" ID, "container 0123456789ab", "crio", ID, UID},
	{"/kubepods/burstable/pod" STATIC_UID "/" ID, "container 0123456789ab", "kubernetes", ID, STATIC_UID},
	{"/system.slice/containerd.service/kubepods-burstable-pod" UID_UNDER ".slice:cri-containerd:" ID,
	 "container 0123456789ab", "containerd", ID, ""},
	{"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" UID_UNDER ".slice", "pod " UID, "kubernetes",
	 "", UID},
	{"/kubepods/burstable/pod" UID, "pod " UID, "kubernetes", "", UID},
	{"/kubepods.slice/kubepods-burstable.slice", "kubepods-burstable.slice", "systemd", "", ""},
	{"/lxc.payload.web", "web", "lxc", "", ""},
	{"/lxc.payload.web/system.slice/ssh.service", "ssh.service", "systemd", "", ""},
	{"/machine.slice/machine-debian\\x2d12.scope", "debian-12", "nspawn", "", ""},
	{"/" ID, "container 0123456789ab", "", ID, ""},
	/* Nearly. */
	{"/docker-.scope", "docker-.scope", "systemd", "", ""},
	{"/system.slice/docker-0123.scope", "docker-0123.scope", "systemd", "", ""},
	{"/pod", "pod", "", "", ""},
	{"/podcast", "podcast", "", "", ""},
	{"/kubepods-pod.slice", "kubepods-pod.slice", "systemd", "", ""},
	{"/lxc.payload.", "lxc.payload.", "", "", ""},
	{"/a\\x2", "a\\x2", "", "", ""},
	{"/a\\xzz", "a\\xzz", "", "", ""},
	{"/.service", ".service", "", "", ""},
	{"//double//slash/", "slash", "", "", ""},
};

static void known_shapes(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct cgroup_name name;
		cgroup_name(cases[i].path, strlen(cases[i].path), &name);
		if (strcmp(name.name, cases[i].name) != 0 || strcmp(name.manager, cases[i].manager) != 0 ||
		    strcmp(name.container_id, cases[i].container) != 0 || strcmp(name.pod_uid, cases[i].pod) != 0)
			fail_msg("%s: \"%s\" \"%s\" \"%s\" \"%s\"", cases[i].path, name.name, name.manager,
				 name.container_id, name.pod_uid);
	}
}

static void long_names_are_cut(void **state)
{
	(void)state;
	char path[4096];
	struct cgroup_name name;
	memset(path, 'x', sizeof(path));
	path[0] = '/';
	cgroup_name(path, sizeof(path), &name);
	assert_int_equal(strlen(name.name), CGROUP_NAME_SIZE - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(known_shapes), cmocka_unit_test(long_names_are_cut)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
