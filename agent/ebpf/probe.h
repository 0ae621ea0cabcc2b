/* One BPF object at work: a skeleton whose programs are tried one by one, so that what a kernel lacks or refuses costs
 * that program and no other; attached and detached while the agent runs, without loading anew; each listed with its
 * cost (agent/ebpf/programs.h). Nothing is pinned: when the agent goes, however it goes, everything goes. The
 * scheduler's thread; loading needs CAP_BPF and CAP_PERFMON (CAP_SYS_ADMIN before 5.8), and so does attaching.
 *
 * The ladder is in the names: of "switch_btf" (section tp_btf/...) and "switch_raw" (raw_tp/...) the first that this
 * kernel has the tracepoint for and accepts is taken, and the program is called "switch" from then on. One without a
 * suffix has no other rung. */
#pragma once

#include "agent/collector.h"
#include "agent/ebpf/meters.h"

#include <bpf/libbpf.h>
#include <stddef.h>

struct btf;
struct probe;

#define PROBE_MAX_PROGRAMS 16
#define PROBE_MAX_MAPPINGS 4

struct probe_kind {
	const char *name;  /* the section it serves */
	const char *what;  /* "the scheduler's probe": for sentences */
	const char *since; /* the Linux that brought its tracepoints, "6.3"; NULL where none is so old */
	/* The skeleton's own open_opts and destroy. */
	void *(*open)(const struct bpf_object_open_opts *options);
	void (*destroy)(void *skeleton);
	/* Constants and sizes of maps, after each opening. 0 or negative errno. NULL: there are none. */
	int (*prepare)(void *skeleton, const struct btf *btf, void *arg);
	/* Of variants with different names: whether this kernel is to have that one. NULL: all. */
	bool (*wants)(const char *program, const struct btf *btf, void *arg);
	meter_names meters; /* NULL when there is no such map */
};

/* The two functions of a kind, by the name of the generated skeleton. */
#define PROBE_SKELETON(name)                                                                                           \
	static void *open_skeleton(const struct bpf_object_open_opts *options)                                         \
	{                                                                                                              \
		return name##__open_opts(options);                                                                     \
	}                                                                                                              \
	static void destroy_skeleton(void *skeleton)                                                                   \
	{                                                                                                              \
		name##__destroy(skeleton);                                                                             \
	}

/* Lists programs that nobody has asked for yet, all that have a meter, with how to ask: off, until probe_load().
 * Nothing on a recorded host. */
void probe_list_off(const struct probe_kind *kind, const struct collector_context *context, const char *how)
	__attribute__((nonnull));

/* Opens with the file of --btf where one is given, and loads; nothing is attached yet. 0 when at least one program is
 * loaded, or negative errno with *state. RLIMIT_MEMLOCK is no matter: libbpf raises it where the kernel still counts by
 * it, and goes on when that is refused. `arg` is for prepare() and wants() during this call; the context is borrowed as
 * long as the probe lives. */
int probe_load(const struct probe_kind *kind, const struct collector_context *context, void *arg, struct probe **ret,
	       struct collector_state *state) __attribute__((nonnull(1, 2, 4, 5), warn_unused_result));
/* Detaches, takes its programs off the list, unmaps what was mapped and frees everything. Accepts NULL. */
void probe_free(struct probe *probe);

void *probe_skeleton(const struct probe *probe) __attribute__((nonnull));

/* Whether a program is loaded; names without the rung's suffix. */
bool probe_has(const struct probe *probe, const char *program) __attribute__((nonnull));
/* Why it is not, in words; "" when it is. */
const char *probe_refusal(const struct probe *probe, const char *program) __attribute__((nonnull));
bool probe_is_attached(const struct probe *probe, const char *program) __attribute__((nonnull));
/* "tp_btf" or "raw_tp" of the first program that is loaded. */
const char *probe_rung(const struct probe *probe) __attribute__((nonnull));

/* Idempotent. 0; -ENOENT for one that is not loaded, or the kernel's negative errno: the list then says that it was
 * refused. */
int probe_attach(struct probe *probe, const char *program) __attribute__((nonnull, warn_unused_result));
/* `why` is for the list: "switched off in the agent's configuration". */
void probe_detach(struct probe *probe, const char *program, const char *why) __attribute__((nonnull));
void probe_detach_all(struct probe *probe, const char *why) __attribute__((nonnull));

/* For collect(): false when the programs may not run in this tick because they cost more than probe_budget; they are
 * detached then, and tick->state says so. */
bool probe_may_run(struct probe *probe, struct tick *tick) __attribute__((nonnull, warn_unused_result));
/* For rest(): detaches all until they are attached again. */
void probe_rest(struct probe *probe) __attribute__((nonnull));

/* Maps a whole array with BPF_F_MMAPABLE for reading and writing, until probe_free(). 0 or negative errno. */
int probe_map_array(struct probe *probe, const struct bpf_map *map, void **ret)
	__attribute__((nonnull, warn_unused_result));

/* CPUs there can be, numbered from 0; at least 1. */
uint32_t probe_cpus(void);
