/* bench_recent RECORDING [HOSTS]
 *
 * What it costs to keep in memory what snapshots said lately: CPU time of recent_add() for each snapshot of a
 * recording, as if so many hosts sent it, each moment of all hosts before the next; and what a row takes. */
#include "backend/registry/recent.h"
#include "tests/bench/must.h"
#include "tests/bench/storage/recording.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MOMENTS 330
#define SECOND_US 1000000

static double cpu_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

int main(int argc, char **argv)
{
	unsigned hosts = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 100, moments = 0;
	struct recording recording;
	struct columns_tick tick;
	struct recent *recent;
	const uint8_t *payload;
	size_t len, bytes = 0;
	double took = 0;
	if (argc < 2 || hosts == 0)
		return 2;
	must(recent_new(1u << 30, &recent), "recent");
	recording_open(&recording, argv[1]);
	while (moments < MOMENTS && recording_next(&recording, &tick, &payload, &len)) {
		int64_t now_us = ++moments * (int64_t)SECOND_US;
		const struct store_snapshot snapshot = {.sequence = moments,
							.agent_us = now_us,
							.boottime_us = tick.boottime_us,
							.received_us = now_us,
							.payload = payload,
							.len = len};
		double began = cpu_us();
		for (uint32_t i = 0; i < hosts; i++) {
			uint8_t host_id[16] = {0};
			memcpy(host_id, &i, sizeof(i));
			recent_add(recent, host_id, tick.instance, &snapshot);
		}
		took += cpu_us() - began;
		bytes += len;
	}
	printf("%u snapshots of %zu bytes: %.2f us each, %.0f bytes a row\n", moments * hosts, bytes / moments,
	       took / moments / hosts, (double)recent_bytes(recent) / moments / hosts);
	recent_free(recent);
	recording_close(&recording);
	return 0;
}
