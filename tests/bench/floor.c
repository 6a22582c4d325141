/* floor - the physical limits the suite is measured against, in this process alone.
 *
 *	floor ed25519 SECONDS	crypto_sign_verify_detached of a 350-byte text, one core: verifies per second
 *	floor fsync FILE SECONDS	4 KiB appended and fdatasync'ed, one after the other: per second
 *	floor zmq N		one ZeroMQ PUB -> SUB hop over ipc with CURVE between two threads, N messages one at a time: latencies in us, one a line
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

struct hop {
	void *sub;
	size_t n;
	int ready;
};

static void *receiver(void *arg)
{
	struct hop *hop = arg;
	uint64_t sent;

	for (size_t i = 0; i < hop->n; i++) {
		if (zmq_recv(hop->sub, &sent, sizeof(sent), 0) != sizeof(sent))
			break;
		printf("%.1f\n", (double)(now_ns(CLOCK_MONOTONIC) - sent) / 1000);
	}
	return NULL;
}

static int zmq_hop(size_t n)
{
	char server_public[41], server_secret[41], client_public[41], client_secret[41],
	    address[64];
	void *context = zmq_ctx_new(), *pub = zmq_socket(context, ZMQ_XPUB);
	struct hop hop = {.sub = zmq_socket(context, ZMQ_SUB), .n = n};
	int on = 1;
	pthread_t thread;
	char joined[8];

	snprintf(address, sizeof(address), "ipc:///tmp/multiclaw-floor-%d", getpid());
	zmq_curve_keypair(server_public, server_secret);
	zmq_curve_keypair(client_public, client_secret);
	zmq_setsockopt(pub, ZMQ_CURVE_SERVER, &on, sizeof(on));
	zmq_setsockopt(pub, ZMQ_CURVE_SECRETKEY, server_secret, 41);
	zmq_setsockopt(hop.sub, ZMQ_CURVE_SERVERKEY, server_public, 41);
	zmq_setsockopt(hop.sub, ZMQ_CURVE_PUBLICKEY, client_public, 41);
	zmq_setsockopt(hop.sub, ZMQ_CURVE_SECRETKEY, client_secret, 41);
	zmq_setsockopt(hop.sub, ZMQ_SUBSCRIBE, "", 0);
	if (zmq_bind(pub, address) < 0 || zmq_connect(hop.sub, address) < 0)
		return 1;
	zmq_recv(pub, joined, sizeof(joined), 0);
	pthread_create(&thread, NULL, receiver, &hop);
	for (size_t i = 0; i < n; i++) {
		uint64_t sent = now_ns(CLOCK_MONOTONIC);
		zmq_send(pub, &sent, sizeof(sent), 0);
		usleep(500);
	}
	pthread_join(thread, NULL);
	unlink(address + strlen("ipc://"));
	return 0;
}

int main(int argc, char **argv)
{
	if (sodium_init() < 0)
		return 1;
	if (argc == 3 && strcmp(argv[1], "ed25519") == 0)
		return ed25519(strtod(argv[2], NULL));
	if (argc == 3 && strcmp(argv[1], "zmq") == 0)
		return zmq_hop(strtoul(argv[2], NULL, 10));
	if (argc == 4 && strcmp(argv[1], "fsync") == 0)
		return fsyncs(argv[2], strtod(argv[3], NULL));
	fprintf(stderr, "usage: floor ed25519 SECONDS | floor zmq N | floor fsync FILE SECONDS\n");
	return 2;
}
