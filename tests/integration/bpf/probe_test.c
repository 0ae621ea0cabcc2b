/* agent/ebpf/probe with an object of which the running kernel accepts some programs: each refusal is that program's and
 * has its words, the others run, and switching them on and off is what the kernel does. */
#include "agent/ebpf/probe.h"

#include <errno.h>
#include <linux/types.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/integration/bpf/trial.h"

#include <trial.skel.h>

static struct root root;
static struct programs *programs;
static struct collector_context context;
static bool only_bad;

static void *open_skeleton(const struct bpf_object_open_opts *options)
{
	return trial__open_opts(options);
}

static void destroy_skeleton(void *skeleton)
{
	trial__destroy(skeleton);
}

static int prepare(void *skeleton, const struct btf *btf, void *arg)
{
	assert_non_null(skeleton);
	assert_non_null(btf);
	++*(int *)arg;
	return 0;
}

static bool wants(const char *program, const struct btf *btf, void *arg)
{
	return strcmp(program, "unwanted") != 0 && (!only_bad || strcmp(program, "refused") == 0);
}

static const char *const meters[] = {[TRIAL_METER_GOOD] = "good", NULL};

static const struct probe_kind kind = {
	.name = "trial",
	.what = "the probe on trial",
	.open = open_skeleton,
	.destroy = destroy_skeleton,
	.prepare = prepare,
	.wants = wants,
	.meters = meters,
};

static const struct program *listed(const char *name, struct program_cost *ret_cost)
{
	for (unsigned i = 0; i < programs_count(programs); i++) {
		const struct program *program = programs_at(programs, i, ret_cost);
		if (program && strcmp(program->name, name) == 0)
			return program;
	}
	return NULL;
}

static struct probe *load_probe(void)
{
	struct collector_state state = {.reason = ""};
	struct probe *probe = NULL;
	int prepared = 0, r = probe_load(&kind, &context, &prepared, &probe, &state);
	if (r != 0)
		fail_msg("%d %s: %s", r, state.reason, state.detail);
	assert_true(prepared >= 2);
	return probe;
}

static void what_is_refused_is_said_and_the_rest_goes_on(void **state)
{
	struct program_cost cost;
	struct probe *probe = load_probe();
	assert_true(probe_has(probe, "good"));
	assert_string_equal(probe_refusal(probe, "good"), "");
	/* The second rung took the place of the first. */
	assert_true(probe_has(probe, "ladder"));
	assert_string_equal(listed("ladder", &cost)->attach, "raw_tp");
	assert_string_equal(probe_rung(probe), "raw_tp");

	assert_false(probe_has(probe, "refused"));
	print_message("refused: %s\n", probe_refusal(probe, "refused"));
	assert_non_null(strstr(probe_refusal(probe, "refused"), "the kernel refused it (Permission denied"));
	assert_non_null(strstr(probe_refusal(probe, "refused"), "invalid mem access"));
	assert_false(probe_has(probe, "missing"));
	assert_string_equal(probe_refusal(probe, "missing"),
			    "this kernel has no tracepoint sonde_has_no_such_tracepoint");
	assert_false(probe_has(probe, "unwanted"));
	assert_null(listed("unwanted", &cost));
	assert_int_equal(listed("refused", &cost)->state, PROGRAM_REFUSED);
	assert_string_equal(listed("refused", &cost)->detail, probe_refusal(probe, "refused"));
	assert_int_equal(listed("good", &cost)->state, PROGRAM_OFF);
	assert_int_equal(probe_attach(probe, "refused"), -ENOENT);
	assert_int_equal(probe_attach(probe, "nobody"), -ENOENT);
	probe_detach(probe, "nobody", "");
	probe_free(probe);
	assert_null(listed("good", &cost));
}

static void switch_often(void)
{
	for (int i = 0; i < 100; i++)
		usleep(1000);
}

static void it_counts_while_it_is_attached(void **state)
{
	struct program_cost cost;
	struct probe *probe = load_probe();
	const struct trial *skeleton = probe_skeleton(probe);
	volatile __u64 *runs = &((struct trial *)skeleton)->bss->runs;
	assert_int_equal(*runs, 0);
	for (int round = 0; round < 2; round++) {
		__u64 before = *runs;
		assert_int_equal(probe_attach(probe, "good"), 0);
		assert_int_equal(probe_attach(probe, "good"), 0);
		assert_true(probe_is_attached(probe, "good"));
		assert_false(probe_is_attached(probe, "ladder"));
		switch_often();
		assert_true(*runs >= before + 100);
		assert_int_equal(listed("good", &cost)->state, PROGRAM_ATTACHED);
		assert_string_equal(listed("good", &cost)->detail, "");
		probe_detach(probe, "good", "a test wants it");
		probe_detach(probe, "good", "a test wants it");
		assert_false(probe_is_attached(probe, "good"));
		assert_string_equal(listed("good", &cost)->detail, "a test wants it");
		usleep(100000); /* those under way end */
		before = *runs;
		switch_often();
		assert_int_equal(*runs, before);
	}
	/* Its own count and that of its meter are one. */
	assert_int_equal(programs_meter(listed("good", &cost)).runs, *runs);
	probe_free(probe);
}

static void without_any_program_it_fails_with_a_state(void **state)
{
	struct collector_state why = {.reason = ""};
	struct probe *probe = NULL;
	struct program_cost cost;
	int prepared = 0;
	only_bad = true;
	assert_int_equal(probe_load(&kind, &context, &prepared, &probe, &why), -EACCES);
	only_bad = false;
	print_message("%s: %s\n", why.reason, why.detail);
	assert_null(probe);
	assert_int_equal(why.code, SONDE__V1__STATE__CODE__CODE_UNAVAILABLE);
	assert_string_equal(why.reason, "programs_refused");
	assert_non_null(strstr(why.detail, "the probe on trial"));
	assert_non_null(strstr(why.detail, "invalid mem access"));
	assert_null(listed("refused", &cost));
	probe_free(NULL);
}

static void a_missing_file_of_types_is_said(void **state)
{
	struct collector_context elsewhere = context;
	struct collector_state why = {.reason = ""};
	struct probe *probe = NULL;
	int prepared = 0;
	elsewhere.programs = NULL;
	elsewhere.btf_path = "/nowhere/vmlinux.btf";
	assert_true(probe_load(&kind, &elsewhere, &prepared, &probe, &why) < 0);
	assert_string_equal(why.reason, "no_btf");
	assert_non_null(strstr(why.detail, "/nowhere/vmlinux.btf"));
	/* The kernel's own, as a file; and nobody keeps a list. */
	elsewhere.btf_path = "/sys/kernel/btf/vmlinux";
	assert_int_equal(probe_load(&kind, &elsewhere, &prepared, &probe, &why), 0);
	assert_int_equal(probe_attach(probe, "good"), 0);
	probe_detach_all(probe, "enough");
	assert_false(probe_is_attached(probe, "good"));
	probe_free(probe);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_refused_is_said_and_the_rest_goes_on),
		cmocka_unit_test(it_counts_while_it_is_attached),
		cmocka_unit_test(without_any_program_it_fails_with_a_state),
		cmocka_unit_test(a_missing_file_of_types_is_said),
	};
	if (geteuid() != 0) {
		print_message("SKIP: loading BPF programs needs root\n");
		return 77;
	}
	assert_int_equal(root_open(&root, NULL), 0);
	assert_int_equal(programs_new(&programs), 0);
	context = (struct collector_context){.root = &root, .live = true, .programs = programs};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	programs_free(programs);
	root_close(&root);
	return failed;
}
