/* An object that failed to load cannot be loaded again, and does not say which program it was. So the common case,
 * where everything loads, is tried first; when it fails, each program is loaded alone to see, and then those that
 * passed together. Maps are made anew each time: this happens at start only, and seldom. */
#include "agent/ebpf/probe.h"

#include "agent/ebpf/budget.h"
#include "agent/ebpf/kernel_facts.h"
#include "agent/ebpf/refusal.h"
#include "common/log.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define VERIFIER_LOG_BYTES 65536

/* How a generated skeleton begins. */
struct skeleton_head {
	struct bpf_object_skeleton *skeleton;
	struct bpf_object *object;
};

struct rung {
	const char *name;   /* and the section's prefix */
	const char *suffix; /* of the program's name */
};

/* In the order of trying: tp_btf reads kernel structs without calls; raw_tp is for kernels that refuse
 * BPF_PROG_TYPE_TRACING or have their types in a file only. */
static const struct rung rungs[] = {{"tp_btf", "_btf"}, {"raw_tp", "_raw"}};
#define N_RUNGS (sizeof(rungs) / sizeof(rungs[0]))

struct candidate {
	char name[PROGRAM_NAME]; /* as in the object; "" where the ladder has no such rung */
	bool usable;		 /* the kernel has the tracepoint, and has not refused the program */
};

struct probe_program {
	char name[PROGRAM_NAME];
	struct candidate candidates[N_RUNGS];
	int rung; /* of the one in use; negative: none */
	struct bpf_program *program;
	struct bpf_link *link;
	int listed;
	bool refused_words; /* refusal has the verifier's */
	char refusal[PROGRAM_DETAIL];
};

struct probe {
	const struct probe_kind *kind;
	const struct collector_context *context;
	void *skeleton;
	struct probe_program programs[PROBE_MAX_PROGRAMS];
	size_t n;
	struct meters meters;
	struct budget budget;
	struct {
		void *pages;
		size_t bytes;
	} mappings[PROBE_MAX_MAPPINGS];
	size_t n_mappings;
};

struct loading {
	struct probe *probe;
	const struct btf *btf;
	void *arg;
};

uint32_t probe_cpus(void)
{
	int n = libbpf_num_possible_cpus();
	return n > 0 ? (uint32_t)n : 1;
}

int probe_map_array(struct probe *probe, const struct bpf_map *map, void **ret)
{
	if (probe->n_mappings == PROBE_MAX_MAPPINGS)
		return -ENOSPC;
	/* The kernel keeps each value at a multiple of 8. */
	size_t page = (size_t)sysconf(_SC_PAGESIZE), value = ((size_t)bpf_map__value_size(map) + 7) / 8 * 8;
	size_t bytes = (value * bpf_map__max_entries(map) + page - 1) / page * page;
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);
	if (p == MAP_FAILED)
		return -errno;
	probe->mappings[probe->n_mappings].pages = p;
	probe->mappings[probe->n_mappings++].bytes = bytes;
	*ret = p;
	return 0;
}

static struct bpf_object *object_of(void *skeleton)
{
	return ((struct skeleton_head *)skeleton)->object;
}

static int open_skeleton(const struct loading *loading, void **ret)
{
	LIBBPF_OPTS(bpf_object_open_opts, options, .btf_custom_path = loading->probe->context->btf_path);
	void *skeleton = loading->probe->kind->open(&options);
	if (!skeleton)
		return errno ? -errno : -EINVAL;
	int r = meters_size(object_of(skeleton), loading->probe->kind->meters, probe_cpus());
	if (r == 0 && loading->probe->kind->prepare)
		r = loading->probe->kind->prepare(skeleton, loading->btf, loading->arg);
	if (r < 0) {
		loading->probe->kind->destroy(skeleton);
		return r;
	}
	*ret = skeleton;
	return 0;
}

/* The rung by the section's prefix, *ret_tracepoint what follows it; or -1. */
static int rung_of(const char *section, const char **ret_tracepoint)
{
	for (size_t i = 0; i < N_RUNGS; i++) {
		size_t n = strlen(rungs[i].name);
		if (strncmp(section, rungs[i].name, n) == 0 && section[n] == '/') {
			*ret_tracepoint = section + n + 1;
			return (int)i;
		}
	}
	return -1;
}

static struct probe_program *find(const struct probe *probe, const char *name, size_t len)
{
	for (size_t i = 0; i < probe->n; i++) {
		const struct probe_program *p = &probe->programs[i];
		if (strlen(p->name) == len && memcmp(p->name, name, len) == 0)
			return (struct probe_program *)p;
	}
	return NULL;
}

/* One program of the object: a rung of one of ours. */
static void survey_program(const struct loading *loading, const struct bpf_program *program)
{
	struct probe *probe = loading->probe;
	const char *name = bpf_program__name(program), *tracepoint;
	size_t len = strlen(name);
	int rung = rung_of(bpf_program__section_name(program), &tracepoint);
	if (rung < 0 || len >= PROGRAM_NAME)
		return;
	size_t suffix = strlen(rungs[rung].suffix), base = len;
	if (len > suffix && memcmp(name + len - suffix, rungs[rung].suffix, suffix) == 0)
		base = len - suffix;
	struct probe_program *p = find(probe, name, base);
	if (!p && probe->n == PROBE_MAX_PROGRAMS)
		return;
	if (!p) {
		p = &probe->programs[probe->n];
		*p = (struct probe_program){.rung = -1, .listed = -1};
		memcpy(p->name, name, base);
		if (probe->kind->wants && !probe->kind->wants(p->name, loading->btf, loading->arg))
			return; /* another variant has its place */
		probe->n++;
	}
	struct candidate *candidate = &p->candidates[rung];
	memcpy(candidate->name, name, len + 1);
	candidate->usable = kernel_tracepoint_arguments(loading->btf, tracepoint) >= 0;
	if (!candidate->usable)
		(void)snprintf(p->refusal, sizeof(p->refusal), "this kernel has no tracepoint %.60s%s%s", tracepoint,
			       probe->kind->since ? ", which Linux has since " : "",
			       probe->kind->since ? probe->kind->since : "");
}

static int survey(const struct loading *loading)
{
	void *skeleton;
	int r = open_skeleton(loading, &skeleton);
	if (r < 0)
		return r;
	struct bpf_program *program;
	bpf_object__for_each_program(program, object_of(skeleton)) survey_program(loading, program);
	loading->probe->kind->destroy(skeleton);
	return 0;
}

/* The first rung that is left; NULL for none. */
static const struct candidate *choice(const struct probe_program *p)
{
	for (size_t i = 0; i < N_RUNGS; i++) {
		if (p->candidates[i].usable)
			return &p->candidates[i];
	}
	return NULL;
}

static bool is_chosen(const struct probe *probe, const char *name)
{
	for (size_t i = 0; i < probe->n; i++) {
		const struct candidate *candidate = choice(&probe->programs[i]);
		if (candidate && strcmp(candidate->name, name) == 0)
			return true;
	}
	return false;
}

/* Opens, loads `only` or, without one, all that are chosen. */
static int try_load(const struct loading *loading, const char *only, char *log, void **ret)
{
	void *skeleton;
	int r = open_skeleton(loading, &skeleton);
	if (r < 0)
		return r;
	struct bpf_program *program;
	bpf_object__for_each_program(program, object_of(skeleton))
	{
		const char *name = bpf_program__name(program);
		bool wanted = only ? strcmp(name, only) == 0 : is_chosen(loading->probe, name);
		r = bpf_program__set_autoload(program, wanted);
		if (r == 0 && wanted && log)
			r = bpf_program__set_log_buf(program, log, VERIFIER_LOG_BYTES);
		if (r < 0)
			break;
	}
	if (r == 0)
		r = bpf_object__load_skeleton(((struct skeleton_head *)skeleton)->skeleton);
	if (r < 0) {
		loading->probe->kind->destroy(skeleton);
		return r;
	}
	*ret = skeleton;
	return 0;
}

/* The verifier's last word: its last line that is not a count. */
static const char *last_word(char *log)
{
	const char *word = "";
	char *rest = log;
	for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
		if (strncmp(line, "processed ", 10) != 0 && line[0] != '\0' &&
		    strncmp(line, "verification time", 17) != 0 && strncmp(line, "stack depth", 11) != 0)
			word = line;
	}
	return word;
}

/* Crosses off what this kernel refuses by itself. Returns the last refusal, 0 for none. */
static int try_one_by_one(const struct loading *loading)
{
	char *log = calloc(1, VERIFIER_LOG_BYTES);
	int last = 0;
	for (size_t i = 0; i < loading->probe->n; i++) {
		struct probe_program *p = &loading->probe->programs[i];
		for (size_t rung = 0; rung < N_RUNGS; rung++) {
			struct candidate *candidate = &p->candidates[rung];
			void *skeleton;
			if (!candidate->usable || candidate != choice(p))
				continue;
			if (log)
				log[0] = '\0';
			int r = try_load(loading, candidate->name, log, &skeleton);
			if (r == 0) {
				loading->probe->kind->destroy(skeleton);
				continue;
			}
			candidate->usable = false;
			const char *word = log ? last_word(log) : "";
			p->refused_words = word[0] != '\0';
			(void)snprintf(p->refusal, sizeof(p->refusal), "the kernel refused it (%s%s%.150s)",
				       log_strerror(r), word[0] ? ": " : "", word);
			log_debug("program refused", LOG_STR("probe", loading->probe->kind->name),
				  LOG_STR("program", candidate->name), LOG_STR("why", p->refusal),
				  LOG_STR("libbpf", refusal_said()));
			last = r;
		}
	}
	free(log);
	return last;
}

static bool any_chosen(const struct probe *probe)
{
	for (size_t i = 0; i < probe->n; i++) {
		if (choice(&probe->programs[i]))
			return true;
	}
	return false;
}

static int load(const struct loading *loading)
{
	struct probe *probe = loading->probe;
	int r = survey(loading);
	if (r < 0)
		return r;
	if (!any_chosen(probe))
		return -ENOENT;
	r = try_load(loading, NULL, NULL, &probe->skeleton);
	if (r == 0)
		return 0;
	int alone = try_one_by_one(loading);
	/* All pass alone and fail together: not a matter of one program. */
	if (alone == 0 || !any_chosen(probe))
		return alone == 0 ? r : alone;
	return try_load(loading, NULL, NULL, &probe->skeleton);
}

static void list_program(struct probe *probe, struct probe_program *p)
{
	struct program program = {
		.probe = probe->kind->name,
		.attach = p->rung >= 0 ? rungs[p->rung].name : NULL,
		.state = p->program ? PROGRAM_OFF : PROGRAM_REFUSED,
		.fd = p->program ? bpf_program__fd(p->program) : -1,
	};
	memcpy(program.name, p->name, sizeof(program.name));
	memcpy(program.detail, p->refusal, sizeof(program.detail));
	meters_give(&probe->meters, &program);
	p->listed = programs_add(probe->context->programs, &program);
}

/* After loading: which program each name stands for. */
static int settle(struct probe *probe)
{
	struct bpf_object *object = object_of(probe->skeleton);
	int r = meters_map(object, probe->kind->meters, &probe->meters);
	if (r < 0)
		return r;
	for (size_t i = 0; i < probe->n; i++) {
		struct probe_program *p = &probe->programs[i];
		const struct candidate *candidate = choice(p);
		if (candidate) {
			p->rung = (int)(candidate - p->candidates);
			p->program = bpf_object__find_program_by_name(object, candidate->name);
			p->refusal[0] = '\0';
		}
		list_program(probe, p);
	}
	return 0;
}

/* Who has the rights and is refused all the same is told what the verifier said of the first program it refused. */
static void word_refusal(const struct probe *probe, int error, struct collector_state *state)
{
	(void)refusal_state(probe->context, state, error, probe->kind->what, "load_failed");
	for (size_t i = 0; i < probe->n && strcmp(state->reason, "load_failed") == 0; i++) {
		const struct probe_program *p = &probe->programs[i];
		if (p->refused_words)
			(void)collector_fail(state, SONDE__V1__STATE__CODE__CODE_UNAVAILABLE, error, "programs_refused",
					     "none of the programs of %s is accepted; %s: %.150s", probe->kind->what,
					     p->name, p->refusal);
	}
}

void probe_list_off(const struct probe_kind *kind, const struct collector_context *context, const char *how)
{
	programs_remove(context->programs, kind->name);
	for (size_t i = 0; context->live && kind->meters && kind->meters[i]; i++) {
		struct program program = {.probe = kind->name, .state = PROGRAM_OFF, .fd = -1};
		memcpy(program.name, kind->meters[i], strnlen(kind->meters[i], sizeof(program.name) - 1));
		memcpy(program.detail, how, strnlen(how, sizeof(program.detail) - 1));
		/* Without a place it is not listed, which harms nothing else. */
		(void)programs_add(context->programs, &program);
	}
}

int probe_load(const struct probe_kind *kind, const struct collector_context *context, void *arg, struct probe **ret,
	       struct collector_state *state)
{
	libbpf_print_fn_t before = refusal_listen();
	struct btf *btf = NULL;
	int r = refusal_or_btf(context, &btf, state);
	struct probe *probe = r < 0 ? NULL : calloc(1, sizeof(*probe));
	if (probe) {
		*probe = (struct probe){.kind = kind, .context = context};
		programs_remove(context->programs, kind->name);
		struct loading loading = {.probe = probe, .btf = btf, .arg = arg};
		r = load(&loading);
		if (r == 0)
			r = settle(probe);
		if (r == -ENOENT && !any_chosen(probe) && kind->since)
			(void)collector_fail(state, SONDE__V1__STATE__CODE__CODE_UNAVAILABLE, r, "no_tracepoints",
					     "this kernel has none of the tracepoints %s uses: use Linux %s or later",
					     kind->what, kind->since);
		else if (r == -ENOENT && !any_chosen(probe))
			(void)collector_fail(state, SONDE__V1__STATE__CODE__CODE_UNAVAILABLE, r, "no_tracepoints",
					     "this kernel has none of the tracepoints %s uses: use one with "
					     "CONFIG_TRACEPOINTS and CONFIG_BPF_EVENTS",
					     kind->what);
		else if (r < 0)
			word_refusal(probe, r, state);
	} else if (r == 0) {
		r = collector_fail(state, SONDE__V1__STATE__CODE__CODE_FAILED, -ENOMEM, "no_memory", "no memory for %s",
				   kind->what);
	}
	refusal_end_btf(context, btf);
	(void)libbpf_set_print(before);
	if (r < 0) {
		probe_free(probe);
		return r;
	}
	*ret = probe;
	return 0;
}

void probe_free(struct probe *probe)
{
	if (!probe)
		return;
	programs_remove(probe->context->programs, probe->kind->name);
	for (size_t i = 0; i < probe->n; i++)
		(void)bpf_link__destroy(
			probe->programs[i].link); /* of a descriptor: cannot fail in a way that matters */
	for (size_t i = 0; i < probe->n_mappings; i++)
		munmap(probe->mappings[i].pages, probe->mappings[i].bytes);
	meters_unmap(&probe->meters);
	if (probe->skeleton)
		probe->kind->destroy(probe->skeleton);
	free(probe);
}

void *probe_skeleton(const struct probe *probe)
{
	return probe->skeleton;
}

bool probe_has(const struct probe *probe, const char *program)
{
	const struct probe_program *p = find(probe, program, strlen(program));
	return p && p->program;
}

const char *probe_refusal(const struct probe *probe, const char *program)
{
	const struct probe_program *p = find(probe, program, strlen(program));
	return p ? p->refusal : "there is no such program";
}

bool probe_is_attached(const struct probe *probe, const char *program)
{
	const struct probe_program *p = find(probe, program, strlen(program));
	return p && p->link;
}

const char *probe_rung(const struct probe *probe)
{
	for (size_t i = 0; i < probe->n; i++) {
		if (probe->programs[i].program)
			return rungs[probe->programs[i].rung].name;
	}
	return "";
}

int probe_attach(struct probe *probe, const char *program)
{
	struct probe_program *p = find(probe, program, strlen(program));
	if (!p || !p->program)
		return -ENOENT;
	if (p->link)
		return 0;
	libbpf_print_fn_t before = refusal_listen();
	p->link = bpf_program__attach(p->program);
	int r = p->link ? 0 : errno ? -errno : -EINVAL;
	(void)libbpf_set_print(before);
	char detail[PROGRAM_DETAIL] = "";
	if (r < 0)
		(void)snprintf(detail, sizeof(detail), "the kernel refused to attach it (%s)", log_strerror(r));
	programs_set_state(probe->context->programs, p->listed, r < 0 ? PROGRAM_REFUSED : PROGRAM_ATTACHED, detail);
	return r;
}

static void detach(struct probe *probe, struct probe_program *p, const char *why)
{
	if (!p->program)
		return;
	(void)bpf_link__destroy(p->link); /* of a descriptor: cannot fail in a way that matters */
	p->link = NULL;
	programs_set_state(probe->context->programs, p->listed, PROGRAM_OFF, why);
}

void probe_detach(struct probe *probe, const char *program, const char *why)
{
	struct probe_program *p = find(probe, program, strlen(program));
	if (p)
		detach(probe, p, why);
}

void probe_detach_all(struct probe *probe, const char *why)
{
	for (size_t i = 0; i < probe->n; i++)
		detach(probe, &probe->programs[i], why);
}

bool probe_may_run(struct probe *probe, struct tick *tick)
{
	if (budget_check(&probe->budget, probe->context, probe->kind->name, tick))
		return true;
	probe_detach_all(probe, "over its budget");
	return false;
}

void probe_rest(struct probe *probe)
{
	probe_detach_all(probe, "switched off in the agent's configuration");
}
