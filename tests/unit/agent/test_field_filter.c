/* What may be left out, at each depth, and what may not. */
#include "agent/collector.h"
#include "agent/field_filter.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int make(const char *name, struct field_filter **ret)
{
	struct field_names names = {.n = 1};
	const char *wrong = NULL;
	(void)snprintf(names.names[0], FIELD_NAME_SIZE, "%s", name);
	int r = field_filter_new(&names, ret, &wrong);
	if (r < 0)
		assert_string_equal(wrong, name);
	return r;
}

static void apply(const char *name, ProtobufCMessage *section)
{
	struct field_filter *filter;
	assert_int_equal(make(name, &filter), 0);
	field_filter_apply(filter, section);
	field_filter_free(filter);
}

static void scalar(void **state)
{
	(void)state;
	Sonde__V1__Memory memory = SONDE__V1__MEMORY__INIT;
	SET(&memory, slab_bytes, 5);
	SET(&memory, total_bytes, 6);
	apply("memory.slab_bytes", &memory.base);
	assert_false(memory.has_slab_bytes);
	assert_true(memory.has_total_bytes);
	apply("vmstat.page_faults", &memory.base);
	assert_true(memory.has_total_bytes);
}

static void in_rows(void **state)
{
	(void)state;
	Sonde__V1__Disk a = SONDE__V1__DISK__INIT, b = SONDE__V1__DISK__INIT, *rows[] = {&a, &b};
	Sonde__V1__Disks disks = SONDE__V1__DISKS__INIT;
	disks.devices = rows;
	disks.n_devices = 2;
	SET(&a, discards, 1);
	SET(&b, discards, 2);
	SET(&b, reads, 3);
	apply("disks.devices.discards", &disks.base);
	assert_false(a.has_discards || b.has_discards);
	assert_true(b.has_reads);
	apply("disks.devices.*", &disks.base);
	assert_false(b.has_reads);
	assert_int_equal(disks.n_devices, 2);
	apply("disks.devices", &disks.base);
	assert_int_equal(disks.n_devices, 0);
}

static void whole_messages_and_all(void **state)
{
	(void)state;
	Sonde__V1__CpuTimes total = SONDE__V1__CPU_TIMES__INIT;
	Sonde__V1__State ok = SONDE__V1__STATE__INIT;
	Sonde__V1__Cpu cpu = SONDE__V1__CPU__INIT;
	cpu.total = &total;
	cpu.state = &ok;
	SET(&total, irq_us, 4);
	SET(&total, user_us, 5);
	SET(&cpu, forks, 1);
	apply("cpu.total.irq_us", &cpu.base);
	assert_false(total.has_irq_us);
	assert_true(total.has_user_us);
	apply("cpu.total", &cpu.base);
	assert_null(cpu.total);
	apply("cpu.*", &cpu.base);
	assert_false(cpu.has_forks);
	assert_ptr_equal(cpu.state, &ok);
}

/* Numbers that tell rows apart stay where all else goes. */
static void numeric_labels_stay(void **state)
{
	(void)state;
	Sonde__V1__Interface lo = SONDE__V1__INTERFACE__INIT, *rows[] = {&lo};
	Sonde__V1__Network network = SONDE__V1__NETWORK__INIT;
	network.interfaces = rows;
	network.n_interfaces = 1;
	lo.interface = (char *)"lo";
	SET(&lo, ifindex, 1);
	SET(&lo, receive_bytes, 7);
	apply("network.interfaces.*", &network.base);
	assert_string_equal(lo.interface, "lo");
	assert_true(lo.has_ifindex && lo.ifindex == 1);
	assert_false(lo.has_receive_bytes);
}

static void what_may_not(void **state)
{
	(void)state;
	static const char *const names[] = {"",
					    ".",
					    "memory",
					    "memory.",
					    "memory.nonsense",
					    "nonsense.free_bytes",
					    "memory.state",
					    "memory.state.code",
					    "memory.free_bytes.more",
					    "disks.devices.device",
					    "disks.devices.diskseq",
					    "cpu.cores.cpu",
					    "network.interfaces.ifindex",
					    "cgroups.cgroups.id",
					    "sequence",
					    "timestamp.seconds",
					    "disks..discards",
					    "*",
					    "*.free_bytes",
					    "memory.*.x"};
	struct field_filter *filter = NULL;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (make(names[i], &filter) != -EINVAL)
			fail_msg("\"%s\" was accepted", names[i]);
	}
	assert_null(filter);
}

static void none(void **state)
{
	(void)state;
	struct field_names names = {.n = 0};
	struct field_filter *filter;
	const char *wrong;
	Sonde__V1__Memory memory = SONDE__V1__MEMORY__INIT;
	assert_int_equal(field_filter_new(&names, &filter, &wrong), 0);
	assert_null(filter);
	field_filter_apply(filter, &memory.base);
	field_filter_free(filter);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scalar),
		cmocka_unit_test(in_rows),
		cmocka_unit_test(whole_messages_and_all),
		cmocka_unit_test(numeric_labels_stay),
		cmocka_unit_test(what_may_not),
		cmocka_unit_test(none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
