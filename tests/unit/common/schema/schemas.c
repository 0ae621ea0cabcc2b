#include "tests/unit/common/schema/schemas.h"

#include "tests/unit/cmocka_all.h"

#include "proto/descriptors.h"

#include <inttypes.h>
#include <sonde/v1/snapshot.pb-c.h>
#include <stdio.h>
#include <string.h>

struct schema *schemas_own(void)
{
	struct descriptor_blob blob = descriptors_services();
	struct schema *s = NULL;
	assert_int_equal(schema_compile(blob.data, blob.len, "sonde.v1.Snapshot", &s), 0);
	return s;
}

#define SET(m, field, v) ((m).has_##field = 1, (m).field = (v))

void schemas_snapshot(struct buf *out)
{
	Sonde__V1__Snapshot snapshot = SONDE__V1__SNAPSHOT__INIT;
	Google__Protobuf__Timestamp at = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
	Sonde__V1__Cpu cpu = SONDE__V1__CPU__INIT;
	Sonde__V1__State ok = SONDE__V1__STATE__INIT, none = SONDE__V1__STATE__INIT;
	Sonde__V1__CpuTimes total = SONDE__V1__CPU_TIMES__INIT,
			    core[2] = {SONDE__V1__CPU_TIMES__INIT, SONDE__V1__CPU_TIMES__INIT};
	Sonde__V1__CpuTimes *cores[2] = {&core[0], &core[1]};
	Sonde__V1__BlockIo block_io = SONDE__V1__BLOCK_IO__INIT;
	Sonde__V1__BlockIoDevice device = SONDE__V1__BLOCK_IO_DEVICE__INIT, *devices[1] = {&device};
	Sonde__V1__BlockIoOperation operation = SONDE__V1__BLOCK_IO_OPERATION__INIT, *operations[1] = {&operation};
	Sonde__V1__Histogram latency = SONDE__V1__HISTOGRAM__INIT;
	Sonde__V1__Perf perf = SONDE__V1__PERF__INIT;
	Sonde__V1__PerfSource hardware = SONDE__V1__PERF_SOURCE__INIT;
	Sonde__V1__Custom custom = SONDE__V1__CUSTOM__INIT;
	Sonde__V1__CustomMetric rooms[2] = {SONDE__V1__CUSTOM_METRIC__INIT, SONDE__V1__CUSTOM_METRIC__INIT},
				*metrics[2] = {&rooms[0], &rooms[1]};
	Sonde__V1__CustomLabel label = SONDE__V1__CUSTOM_LABEL__INIT, *labels[1] = {&label};
	uint8_t instance[16] = "0123456789abcdef";
	uint32_t indexes[3] = {40, 41, 60};
	uint64_t counts[3] = {5, 1, 2};

	at.seconds = 1795233600;
	at.nanos = 123456789;
	snapshot.timestamp = &at;
	SET(snapshot, sequence, 42);
	snapshot.has_instance = 1;
	snapshot.instance = (ProtobufCBinaryData){16, instance};
	SET(ok, code, SONDE__V1__STATE__CODE__CODE_OK);
	SET(none, code, SONDE__V1__STATE__CODE__CODE_UNAVAILABLE);
	none.reason = (char *)"no_pmu";
	none.detail = (char *)"no \"PMU\"";
	cpu.state = &ok;
	SET(total, user_us, 1500000);
	SET(total, idle_us, 0);
	cpu.total = &total;
	for (uint32_t i = 0; i < 2; i++) {
		SET(core[i], cpu, i);
		SET(core[i], user_us, 700000 + i);
	}
	cpu.n_cores = 2;
	cpu.cores = cores;
	SET(cpu, load1, 0.25);
	snapshot.cpu = &cpu;
	SET(latency, scheme, SONDE__V1__HISTOGRAM__SCHEME__SCHEME_LOG_LINEAR_4);
	SET(latency, sum, 12345);
	latency.n_indexes = latency.n_counts = 3;
	latency.indexes = indexes;
	latency.counts = counts;
	operation.operation = (char *)"write";
	SET(operation, operations, 8);
	operation.device_latency_ns = &latency;
	device.device = (char *)"vd\"a\\";
	SET(device, diskseq, 9);
	SET(device, leaf, 1);
	SET(device, untraced_operations, -3);
	device.n_operations = 1;
	device.operations = operations;
	block_io.attach = (char *)"tp_btf";
	block_io.n_devices = 1;
	block_io.devices = devices;
	snapshot.block_io = &block_io;
	hardware.state = &none;
	perf.hardware = &hardware;
	snapshot.perf = &perf;
	label.name = (char *)"room";
	label.value = (char *)"caf\xc3\xa9";
	rooms[0].name = (char *)"room.temperature";
	rooms[0].n_labels = 1;
	rooms[0].labels = labels;
	rooms[0].value_case = SONDE__V1__CUSTOM_METRIC__VALUE_DOUBLE_VALUE;
	rooms[0].double_value = 21.5;
	rooms[1].name = (char *)"visits_total";
	SET(rooms[1], kind, SONDE__V1__METRIC_KIND__METRIC_KIND_COUNTER);
	rooms[1].value_case = SONDE__V1__CUSTOM_METRIC__VALUE_INT_VALUE;
	rooms[1].int_value = -7;
	custom.n_metrics = 2;
	custom.metrics = metrics;
	snapshot.custom = &custom;

	assert_int_equal(buf_reserve(out, sonde__v1__snapshot__get_packed_size(&snapshot)), 0);
	out->len += sonde__v1__snapshot__pack(&snapshot, out->data + out->len);
}

int schemas_keep(void *arg, const struct schema_sample *s)
{
	struct kept *kept = arg;
	assert_true(kept->n < sizeof(kept->samples) / sizeof(kept->samples[0]));
	char *text = kept->samples[kept->n++].text;
	size_t size = sizeof(kept->samples[0].text), n = (size_t)snprintf(text, size, "%s{", s->metric->path);
	for (size_t i = 0; i < s->n_labels; i++) {
		const struct schema_label_value *l = &s->labels[i];
		n += (size_t)snprintf(text + n, size - n, "%s%s=", i ? "," : "", l->name);
		if (l->is_text)
			n += (size_t)snprintf(text + n, size - n, "%.*s", (int)l->len, l->text);
		else
			n += (size_t)snprintf(text + n, size - n, "%" PRIu64, l->number);
	}
	if (s->type == SCHEMA_VALUE_UINT)
		snprintf(text + n, size - n, "} %" PRIu64, s->u);
	else if (s->type == SCHEMA_VALUE_INT)
		snprintf(text + n, size - n, "} %" PRId64, s->i);
	else if (s->type == SCHEMA_VALUE_DOUBLE)
		snprintf(text + n, size - n, "} %g", s->d);
	else
		snprintf(text + n, size - n, "} histogram of %zu bytes", s->histogram.len);
	return 0;
}

const char *schemas_find(const struct kept *kept, const char *beginning)
{
	for (size_t i = 0; i < kept->n; i++) {
		if (strncmp(kept->samples[i].text, beginning, strlen(beginning)) == 0)
			return kept->samples[i].text;
	}
	return NULL;
}
