/* store_feeder --store URL --from N --hosts H --sealers S: appends snapshots of H hosts until it is killed or standard
 * input ends, while S others seal and compact them, each as if it were a backend of its own, and tells on standard
 * output which of them were acknowledged: "HOST SEQUENCE" a line, written before the next append is thought of.
 * Payloads follow from host and sequence, so that what was sent again is the same. */
#include "backend/store/store.h"
#include "common/clock.h"
#include "tests/integration/store/sealer.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BATCH 5
#define SEALERS_MAX 4

static const uint8_t instance[16] = "feeder";

struct batch {
	unsigned host;
	uint64_t first;
};

static void host_id_of(unsigned host, uint8_t id[16])
{
	memset(id, 0, 16);
	id[0] = (uint8_t)(host + 1);
}

static void acknowledged(void *arg, int error, const enum store_fate *fates, size_t n)
{
	struct batch *b = arg;
	char text[BATCH * 48];
	int len = 0;
	for (size_t i = 0; error == 0 && i < n; i++)
		len += snprintf(text + len, sizeof(text) - (size_t)len, "%u %" PRIu64 "%s\n", b->host, b->first + i,
				fates[i] == STORE_CONFLICT ? " conflict" : "");
	/* One write: a line is whole or was never acknowledged. */
	if (len > 0 && write(STDOUT_FILENO, text, (size_t)len) != len)
		_exit(2);
	free(b);
}

static void feed(struct store *store, unsigned host, uint64_t first)
{
	char payloads[BATCH][1600];
	struct store_snapshot snapshots[BATCH];
	uint8_t id[16];
	host_id_of(host, id);
	for (size_t i = 0; i < BATCH; i++) {
		uint64_t sequence = first + i;
		int len = snprintf(payloads[i], sizeof(payloads[i]), "%u %" PRIu64 " %0*d", host, sequence,
				   (int)(sequence % 1400), 0);
		snapshots[i] = (struct store_snapshot){.sequence = sequence,
						       .agent_us = clock_wall_us(),
						       .boottime_us = clock_boottime_us(),
						       .received_us = clock_wall_us(),
						       .payload = (const uint8_t *)payloads[i],
						       .len = (size_t)len};
	}
	for (;;) {
		struct batch *b = malloc(sizeof(*b));
		if (!b)
			_exit(1);
		*b = (struct batch){.host = host, .first = first};
		int r = store_append(store, id, instance, snapshots, BATCH, acknowledged, b);
		if (r == 0)
			return;
		free(b);
		if (r != -EAGAIN)
			_exit(1);
		usleep(2000);
	}
}

static void register_hosts(struct store *store, unsigned hosts)
{
	for (unsigned i = 0; i < hosts; i++) {
		struct store_host host = {.tenant_id = STORE_TENANT_DEFAULT, .key_id = 1};
		host_id_of(i, host.host_id);
		snprintf(host.hostname, sizeof(host.hostname), "host-%u", i);
		/* The server may be killed meanwhile. */
		while (store_host_register(store, &host) < 0)
			usleep(20000);
	}
}

int main(int argc, char **argv)
{
	static const struct option flags[] = {{"store", required_argument, NULL, 's'},
					      {"from", required_argument, NULL, 'f'},
					      {"hosts", required_argument, NULL, 'h'},
					      {"sealers", required_argument, NULL, 'k'},
					      {NULL, 0, NULL, 0}};
	const char *url = NULL;
	uint64_t from = 1;
	unsigned hosts = 1, n_sealers = 0;
	for (int c; (c = getopt_long(argc, argv, "", flags, NULL)) != -1;) {
		if (c == 's')
			url = optarg;
		else if (c == 'f')
			from = strtoull(optarg, NULL, 10);
		else if (c == 'h')
			hosts = (unsigned)strtoul(optarg, NULL, 10);
		else if (c == 'k')
			n_sealers = (unsigned)strtoul(optarg, NULL, 10) % (SEALERS_MAX + 1);
		else
			return 2;
	}
	struct store *store = NULL;
	char *error = NULL;
	int r = url ? store_open(url, &store, &error) : -EINVAL;
	if (r < 0) {
		(void)fprintf(stderr, "store_feeder: %s\n", error ? error : strerror(-r));
		free(error);
		return 1;
	}
	register_hosts(store, hosts);
	struct sealer sealers[SEALERS_MAX];
	pthread_t threads[SEALERS_MAX];
	for (unsigned i = 0; i < n_sealers; i++) {
		sealers[i] = (struct sealer){.url = url, .seed = (unsigned)getpid() + i};
		if (pthread_create(&threads[i], NULL, sealer_run, &sealers[i]) != 0)
			return 1;
	}
	struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
	for (uint64_t first = from; poll(&in, 1, 1) == 0; first += BATCH) {
		for (unsigned host = 0; host < hosts; host++)
			feed(store, host, first);
	}
	for (unsigned i = 0; i < n_sealers; i++) {
		sealers[i].stop = true;
		(void)pthread_join(threads[i], NULL);
		(void)fprintf(stderr, "%lu sealed, %lu compacted, %lu stale, %lu dropped\n", sealers[i].sealed,
			      sealers[i].compacted, sealers[i].stale, sealers[i].dropped);
	}
	store_close(store);
	return 0;
}
