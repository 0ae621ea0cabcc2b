/* The descriptor is taken with O_PATH, which asks the file system nothing but walks the same path as anybody; then the
 * mount's id tells whether this is the mount that mountinfo spoke of, and only then is it asked. */
#include "agent/collectors/mount_space.h"

#include "common/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* Kernels before 5.8 do not tell the id: what the path leads to has to be believed. */
static bool is_another(int fd, uint64_t mount_id)
{
	struct statx st;
	if (statx(fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, STATX_MNT_ID, &st) < 0)
		return false;
	return (st.stx_mask & STATX_MNT_ID) != 0 && st.stx_mnt_id != mount_id;
}

static int ask(int fd, struct mount_space *ret)
{
	struct statfs st;
	int r;
	do {
		r = fstatfs(fd, &st);
	} while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	*ret = (struct mount_space){
		.block_bytes = (uint64_t)(st.f_frsize != 0 ? st.f_frsize : st.f_bsize),
		.blocks = st.f_blocks,
		.free = st.f_bfree,
		.available = st.f_bavail,
		.inodes = st.f_files,
		.inodes_free = st.f_ffree,
		.read_only = (st.f_flags & ST_RDONLY) != 0,
	};
	return 0;
}

static int probe_mount(const struct mount_probe *probe, struct mount_space *ret)
{
	int fd = openat(probe->shared->root_fd, probe->path, O_PATH | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	int r = is_another(fd, probe->mount_id) ? -EXDEV : ask(fd, ret);
	close(fd);
	return r;
}

void mount_probe_run(struct lane_job *job)
{
	struct mount_probe *probe = (struct mount_probe *)job;
	_Atomic(uint32_t) *outstanding = &probe->shared->outstanding;
	bool crowded = probe->remote && atomic_fetch_add(outstanding, 1) >= MOUNT_PROBES_MAX_OUTSTANDING;
	probe->error = crowded ? -EBUSY : probe_mount(probe, &probe->space);
	probe->answered_ns = clock_monotonic_ns();
	if (probe->remote)
		atomic_fetch_sub(outstanding, 1);
}
