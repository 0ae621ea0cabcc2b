/* The order matters: rights are looked at before any are given up, then the collectors run with those the daemon keeps,
 * and the network is read last, with none. */
#include "agent/doctor/doctor.h"

#include "agent/doctor/backend.h"
#include "agent/doctor/files.h"
#include "agent/doctor/kernel.h"
#include "agent/doctor/report.h"
#include "agent/doctor/sections.h"
#include "agent/host/capabilities.h"
#include "agent/host/facts.h"
#include "agent/second_snapshot.h"

#include <errno.h>
#include <stdlib.h>

#define SETTLE_MS 3000
#define MAX_INTERVAL_MS 1000

static int take_snapshot(struct sampler *sampler, uint32_t interval_ms, Sonde__V1__Snapshot **ret)
{
	const struct second_snapshot_times times = {
		.interval_ms = interval_ms,
		.wait_ms = interval_ms < MAX_INTERVAL_MS ? interval_ms : MAX_INTERVAL_MS,
		.settle_ms = SETTLE_MS,
	};
	const uint8_t *data;
	size_t len;
	int r = second_snapshot_take(sampler, &times, &data, &len);
	if (r < 0)
		return r;
	*ret = sonde__v1__snapshot__unpack(NULL, len, data);
	return *ret ? 0 : -ENOMEM;
}

static int report_collectors(const struct doctor *doctor, struct report *report)
{
	struct sampler *sampler = NULL;
	Sonde__V1__Snapshot *snapshot = NULL;
	int r = doctor->make_sampler(doctor->arg, &sampler);
	if (r == 0 && capabilities_keep_used() < 0) {
		struct finding *f = report_add(report, "rights", VERDICT_NOTE, "giving up what is not used");
		finding_value(f, "refused: the agent goes on with all its rights");
	}
	if (r == 0)
		r = take_snapshot(sampler, doctor->options->interval_ms, &snapshot);
	if (r == 0) {
		sections_report(doctor->collectors, snapshot, report);
		programs_report(snapshot, report);
		perf_events_report(snapshot, report);
		sonde__v1__snapshot__free_unpacked(snapshot, NULL);
	}
	sampler_free(sampler);
	return r;
}

static int write_report(const struct doctor *doctor, const struct report *report, FILE *out)
{
	BUF_CLEANUP struct buf text = BUF_INIT(REPORT_TEXT_MAX);
	char title[512];
	struct facts facts;
	facts_read(doctor->root, &facts);
	(void)snprintf(title, sizeof(title), "sonde-agent %s on %s, Linux %s %s", SONDE_VERSION,
		       facts.hostname[0] ? facts.hostname : "a host without a name", facts.kernel, facts.architecture);
	int r = doctor->options->format == OPTIONS_FORMAT_JSON ? report_json(report, SONDE_VERSION, &text)
							       : report_text(report, title, &text);
	if (r < 0)
		return r;
	errno = 0;
	if (fwrite(text.data, 1, text.len, out) != text.len || fflush(out) != 0)
		return errno != 0 ? -errno : -EIO;
	return report_is_well(report) ? 0 : 1;
}

int doctor_run(const struct doctor *doctor, FILE *out)
{
	const struct options *options = doctor->options;
	struct report *report = calloc(1, sizeof(*report));
	if (!report)
		return -ENOMEM;
	kernel_report(doctor->root, options->btf[0] != '\0' ? options->btf : NULL, report);
	rights_report(doctor->root, report);
	limits_report(report);
	clock_report(doctor->root, report);
	files_report(options, report);
	int r = report_collectors(doctor, report);
	if (r == 0)
		r = capabilities_drop_all();
	if (r == 0) {
		backend_report(options, report);
		r = write_report(doctor, report, out);
	}
	free(report);
	return r;
}
