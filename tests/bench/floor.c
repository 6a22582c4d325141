/* floor - the physical limits the suite is measured against, in this process alone.
 *
 *	floor ed25519 SECONDS	crypto_sign_verify_detached of a 350-byte text, one core: verifies per second
 *	floor fsync FILE SECONDS	4 KiB appended and fdatasync'ed, one after the other: per second
 *	floor zmq N SUBSCRIBERS BYTES	ZeroMQ PUB -> SUB over ipc with CURVE, N messages of BYTES one at a time: from the send until the last of the
 *				subscribers (each a thread and context) has it, in us, one a line
 */
#include <fcntl.h>
#include <pthread.h>
#include <sodium.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#define HOP_SUBSCRIBERS_MAX 16
#define HOP_BYTES_MAX 4096
#define HOP_APART_US 1000

static uint64_t now_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int ed25519(double seconds)
{
	unsigned char pk[32], sk[64], text[350], signature[64];
	uint64_t n = 0, start;

	crypto_sign_keypair(pk, sk);
	randombytes_buf(text, sizeof(text));
	crypto_sign_detached(signature, NULL, text, sizeof(text), sk);
	start = now_ns(CLOCK_PROCESS_CPUTIME_ID);
	while ((double)(now_ns(CLOCK_PROCESS_CPUTIME_ID) - start) < seconds * 1e9) {
		if (crypto_sign_verify_detached(signature, text, sizeof(text), pk) != 0)
			return 1;
		n++;
	}
	printf("%.0f\n", (double)n / ((double)(now_ns(CLOCK_PROCESS_CPUTIME_ID) - start) / 1e9));
	return 0;
}

static int fsyncs(const char *path, double seconds)
{
	static const char page[4096] = "x";
	uint64_t n = 0, start;
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0)
		return 1;
	start = now_ns(CLOCK_MONOTONIC);
	while ((double)(now_ns(CLOCK_MONOTONIC) - start) < seconds * 1e9) {
		if (write(fd, page, sizeof(page)) != sizeof(page) || fdatasync(fd) != 0)
			return 1;
		n++;
	}
	printf("%.0f\n", (double)n / ((double)(now_ns(CLOCK_MONOTONIC) - start) / 1e9));
	close(fd);
	unlink(path);
	return 0;
}

/* One message at a time, sent again and again: when each subscriber had it. */
struct subscriber {
	void *socket;
	size_t n, bytes;
	uint64_t *got_ns;
	pthread_t thread;
};

static void *receiver(void *arg)
{
	struct subscriber *subscriber = arg;
	char message[HOP_BYTES_MAX];

	for (size_t i = 0; i < subscriber->n; i++) {
		if (zmq_recv(subscriber->socket, message, sizeof(message), 0) !=
		    (int)subscriber->bytes)
			break;
		subscriber->got_ns[i] = now_ns(CLOCK_MONOTONIC);
	}
	return NULL;
}

static void *publisher(const char *address, char public[41])
{
	char secret[41];
	int on = 1;
	void *pub = zmq_socket(zmq_ctx_new(), ZMQ_XPUB);

	zmq_curve_keypair(public, secret);
	zmq_setsockopt(pub, ZMQ_CURVE_SERVER, &on, sizeof(on));
	zmq_setsockopt(pub, ZMQ_CURVE_SECRETKEY, secret, 41);
	zmq_setsockopt(pub, ZMQ_XPUB_VERBOSE, &on, sizeof(on));
	return zmq_bind(pub, address) < 0 ? NULL : pub;
}

/* With a context of its own, as another process has. */
static int subscribe(struct subscriber *subscriber, const char *address, const char server[41])
{
	char public[41], secret[41];

	subscriber->socket = zmq_socket(zmq_ctx_new(), ZMQ_SUB);
	subscriber->got_ns = calloc(subscriber->n, sizeof(*subscriber->got_ns));
	zmq_curve_keypair(public, secret);
	zmq_setsockopt(subscriber->socket, ZMQ_CURVE_SERVERKEY, server, 41);
	zmq_setsockopt(subscriber->socket, ZMQ_CURVE_PUBLICKEY, public, 41);
	zmq_setsockopt(subscriber->socket, ZMQ_CURVE_SECRETKEY, secret, 41);
	zmq_setsockopt(subscriber->socket, ZMQ_SUBSCRIBE, "", 0);
	return zmq_connect(subscriber->socket, address);
}

static double last_us(const struct subscriber *all, size_t nall, size_t i, uint64_t sent_ns)
{
	uint64_t last_ns = sent_ns;

	for (size_t j = 0; j < nall; j++)
		if (all[j].got_ns[i] > last_ns)
			last_ns = all[j].got_ns[i];
	return (double)(last_ns - sent_ns) / 1000;
}

static int zmq_hop(size_t n, size_t nall, size_t bytes)
{
	struct subscriber all[HOP_SUBSCRIBERS_MAX];
	char message[HOP_BYTES_MAX] = "x", joined[8], key[41], address[64];
	uint64_t *sent_ns = calloc(n, sizeof(*sent_ns));

	if (!sent_ns || nall > HOP_SUBSCRIBERS_MAX || bytes > HOP_BYTES_MAX)
		return 2;
	snprintf(address, sizeof(address), "ipc:///tmp/multiclaw-floor-%d", getpid());
	void *pub = publisher(address, key);
	for (size_t i = 0; i < nall; i++) {
		all[i] = (struct subscriber){.n = n, .bytes = bytes};
		if (!pub || subscribe(&all[i], address, key) < 0)
			return 1;
		zmq_recv(pub, joined, sizeof(joined), 0);
		pthread_create(&all[i].thread, NULL, receiver, &all[i]);
	}
	for (size_t i = 0; i < n; i++) {
		sent_ns[i] = now_ns(CLOCK_MONOTONIC);
		zmq_send(pub, message, bytes, 0);
		usleep(HOP_APART_US);
	}
	for (size_t i = 0; i < nall; i++)
		pthread_join(all[i].thread, NULL);
	for (size_t i = 0; i < n; i++)
		printf("%.1f\n", last_us(all, nall, i, sent_ns[i]));
	for (size_t i = 0; i < nall; i++)
		free(all[i].got_ns);
	free(sent_ns);
	unlink(address + strlen("ipc://"));
	return 0;
}

int main(int argc, char **argv)
{
	if (sodium_init() < 0)
		return 1;
	if (argc == 3 && strcmp(argv[1], "ed25519") == 0)
		return ed25519(strtod(argv[2], NULL));
	if (argc == 5 && strcmp(argv[1], "zmq") == 0)
		return zmq_hop(strtoul(argv[2], NULL, 10), strtoul(argv[3], NULL, 10),
		    strtoul(argv[4], NULL, 10));
	if (argc == 4 && strcmp(argv[1], "fsync") == 0)
		return fsyncs(argv[2], strtod(argv[3], NULL));
	fprintf(stderr, "usage: floor ed25519 SECONDS | floor zmq N SUBSCRIBERS BYTES | floor "
			"fsync FILE SECONDS\n");
	return 2;
}
