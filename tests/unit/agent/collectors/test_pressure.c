/* The pressure collector on made-up hosts: what kernels leave out, and what a person is told then. */
#include "agent/collectors/collectors.h"
#include "tests/unit/agent/fixture.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SOME "some avg10=50.00 avg60=25.00 avg300=12.50 total=9\n"
#define FULL "full avg10=1.00 avg60=2.00 avg300=3.00 total=8\n"
#define UNSUPPORTED                                                                                                    \
	"/sys/class/net/lo/phys_port_id" /* reading it is EOPNOTSUPP, as a pressure file's is with psi=0               \
					  */

static int setup(void **state)
{
	return fixture_setup(state, &collector_pressure);
}

static int collect(struct fixture *f, Sonde__V1__Pressure *out)
{
	return fixture_collect(f, 1, &out->base);
}

static void test_whole(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Pressure out;
	tree_write(&f->tree, "proc/pressure/cpu", SOME FULL);
	tree_write(&f->tree, "proc/pressure/memory", SOME FULL);
	tree_write(&f->tree, "proc/pressure/io", SOME FULL);
	tree_write(&f->tree, "proc/pressure/irq", FULL);
	assert_int_equal(fixture_create(f), 0);
	assert_int_equal(collect(f, &out), 0);
	assert_true(out.cpu->some->total_us == 9 && out.cpu->full->total_us == 8);
	assert_float_equal(out.memory->some->avg10_ratio, 0.5, 0);
	assert_float_equal(out.io->full->avg300_ratio, 0.03, 1e-12);
	assert_null(out.irq->some);
	assert_true(out.irq->full->total_us == 8);
	assert_int_equal(f->state.code, SONDE__V1__STATE__CODE__CODE_UNSPECIFIED);
	tree_write(&f->tree, "proc/pressure/cpu", "some avg10=0.00 avg60=0.00 avg300=0.00 total=11\n");
	assert_int_equal(collect(f, &out), 0);
	assert_true(out.cpu->some->total_us == 11);
	assert_null(out.cpu->full);
}

static void test_older_kernel(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Pressure out;
	tree_write(&f->tree, "proc/pressure/cpu", SOME); /* no full, no irq */
	tree_write(&f->tree, "proc/pressure/io", SOME FULL);
	assert_int_equal(fixture_create(f), 0);
	assert_int_equal(collect(f, &out), 0);
	assert_null(out.cpu->full);
	assert_null(out.memory);
	assert_null(out.irq);
	assert_non_null(out.io->full);
}

static void test_not_built_in(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(fixture_create(f), -EOPNOTSUPP);
	assert_int_equal(f->state.code, SONDE__V1__STATE__CODE__CODE_UNAVAILABLE);
	assert_string_equal(f->state.reason, "psi_disabled");
	assert_non_null(strstr(f->state.detail, "psi=1"));
}

static void test_denied(void **state)
{
	struct fixture *f = *state;
	if (geteuid() == 0)
		skip(); /* root may read what nobody may */
	tree_write(&f->tree, "proc/pressure/cpu", SOME);
	char path[128];
	(void)snprintf(path, sizeof(path), "%s/proc/pressure/cpu", f->tree.path);
	assert_int_equal(chmod(path, 0), 0);
	assert_int_equal(fixture_create(f), -EACCES);
	assert_int_equal(f->state.code, SONDE__V1__STATE__CODE__CODE_DENIED);
}

static void link_unsupported(struct fixture *f, const char *name)
{
	char path[128];
	(void)snprintf(path, sizeof(path), "%s/proc/pressure/%s", f->tree.path, name);
	assert_int_equal(symlink(UNSUPPORTED, path), 0);
}

static void test_refused_when_read(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Pressure out;
	struct root host;
	char text[64];
	assert_int_equal(root_open(&host, NULL), 0);
	int r = root_read_text(&host, &UNSUPPORTED[1], text, sizeof(text));
	root_close(&host);
	if (r != -EOPNOTSUPP)
		skip();
	tree_mkdir(&f->tree, "proc/pressure");
	link_unsupported(f, "cpu");
	link_unsupported(f, "irq");
	assert_int_equal(fixture_create(f), 0);
	assert_int_equal(collect(f, &out), -EOPNOTSUPP);
	assert_int_equal(f->state.code, SONDE__V1__STATE__CODE__CODE_UNAVAILABLE);
	assert_string_equal(f->state.reason, "psi_disabled");
	collector_pressure.destroy(f->self);
	f->self = NULL;
	tree_write(&f->tree, "proc/pressure/io", SOME FULL); /* one that works is enough */
	assert_int_equal(fixture_create(f), 0);
	assert_int_equal(collect(f, &out), 0);
	assert_null(out.cpu);
	assert_null(out.irq);
	assert_non_null(out.io->full);
}

static void test_malformed(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Pressure out;
	tree_write(&f->tree, "proc/pressure/cpu", SOME);
	tree_write(&f->tree, "proc/pressure/io", "some avg10=what\n");
	assert_int_equal(fixture_create(f), 0);
	assert_int_equal(collect(f, &out), -EPROTO);
	assert_string_equal(f->state.reason, "malformed");
	assert_non_null(strstr(f->state.detail, "proc/pressure/io"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(test_whole),  TEST(test_older_kernel),	    TEST(test_not_built_in),
					   TEST(test_denied), TEST(test_refused_when_read), TEST(test_malformed)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
