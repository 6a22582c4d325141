/* curve_peer - a client of our own making, byte by byte (ZMTP 3.0, RFC 23; CURVE, RFC 26), so that a test can say what libzmq would never. It does not answer
 * heartbeats: the server hangs up after half a second. */
#ifndef TESTS_CURVE_PEER_H
#define TESTS_CURVE_PEER_H

#include <sys/socket.h>
#include <sys/un.h>

#include "tests/unit/common/bus_world.h"

struct curve_peer {
	int fd;
	uint8_t short_secret[32], server_short[32];
	uint8_t counter; /* of short nonces */
};

static inline void peer_write(struct curve_peer *peer, const void *bytes, size_t len)
{
	assert_int_equal(send(peer->fd, bytes, len, MSG_NOSIGNAL), len);
}

/* Reads len bytes while the server's loop turns. */
static inline void peer_read(
    struct curve_peer *peer, struct world *world, uint8_t *bytes, size_t len)
{
	uint64_t end = clock_boot_ms() + 3000;

	for (size_t got = 0; got < len;) {
		ssize_t n = recv(peer->fd, bytes + got, len - got, MSG_DONTWAIT);
		assert_true(n > 0 || (n < 0 && errno == EAGAIN));
		assert_true(clock_boot_ms() < end);
		if (n > 0)
			got += (size_t)n;
		else
			world_run(world, 1);
	}
}

/* flags: 4 for a command, 1 for more parts to come. */
static inline void peer_frame(
    struct curve_peer *peer, uint8_t flags, const uint8_t *body, size_t len)
{
	uint8_t head[9] = {(uint8_t)(flags | 2)};

	for (int i = 0; i < 8; i++)
		head[1 + i] = (uint8_t)((uint64_t)len >> (56 - 8 * i));
	peer_write(peer, head, sizeof(head));
	peer_write(peer, body, len);
}

static inline size_t peer_read_frame(
    struct curve_peer *peer, struct world *world, uint8_t *body, size_t size)
{
	uint8_t flags, len[8] = {0};
	size_t n = 0;

	peer_read(peer, world, &flags, 1);
	peer_read(peer, world, len, flags & 2 ? 8 : 1);
	for (int i = 0; i < (flags & 2 ? 8 : 1); i++)
		n = n << 8 | len[i];
	assert_true(n <= size);
	peer_read(peer, world, body, n);
	return n;
}

/* "<prefix><8 bytes of counter>" */
static inline void peer_nonce(struct curve_peer *peer, uint8_t nonce[24], const char *prefix)
{
	memset(nonce, 0, 24);
	memcpy(nonce, prefix, 16);
	nonce[23] = ++peer->counter;
}

/* One property of the metadata; returns its length. */
static inline size_t peer_property(uint8_t *at, const char *name, const void *value, size_t len)
{
	size_t name_len = strlen(name);

	at[0] = (uint8_t)name_len;
	memcpy(at + 1, name, name_len);
	memset(at + 1 + name_len, 0, 3);
	at[1 + name_len + 3] = (uint8_t)len;
	memcpy(at + 1 + name_len + 4, value, len);
	return 1 + name_len + 4 + len;
}

static inline void peer_greet(struct curve_peer *peer, struct world *world)
{
	uint8_t greeting[64] = {[0] = 0xff, [9] = 0x7f, [10] = 3};

	memcpy(greeting + 12, "CURVE", 5);
	peer_write(peer, greeting, sizeof(greeting));
	peer_read(peer, world, greeting, sizeof(greeting));
}

static inline void peer_hello(struct curve_peer *peer, const uint8_t server[32])
{
	uint8_t hello[200] = "\5HELLO\1\0", nonce[24];
	const uint8_t zeros[64] = {0};

	crypto_scalarmult_base(hello + 80, peer->short_secret);
	peer_nonce(peer, nonce, "CurveZMQHELLO---");
	memcpy(hello + 112, nonce + 16, 8);
	assert_int_equal(
	    crypto_box_easy(hello + 120, zeros, 64, nonce, server, peer->short_secret), 0);
	peer_frame(peer, 4, hello, sizeof(hello));
}

static inline void peer_welcome(
    struct curve_peer *peer, struct world *world, const uint8_t server[32], uint8_t cookie[96])
{
	uint8_t welcome[256], nonce[24] = "WELCOME-", plain[128];

	assert_int_equal(peer_read_frame(peer, world, welcome, sizeof(welcome)), 168);
	memcpy(nonce + 8, welcome + 8, 16);
	assert_int_equal(
	    crypto_box_open_easy(plain, welcome + 24, 144, nonce, server, peer->short_secret), 0);
	memcpy(peer->server_short, plain, 32);
	memcpy(cookie, plain + 32, 96);
}

static inline void peer_initiate(struct curve_peer *peer, const struct world *world, enum who who,
    const uint8_t server[32], const uint8_t cookie[96], const uint8_t *metadata,
    size_t metadata_len)
{
	uint8_t secret[32], plain[1024], vouch[64], nonce[24] = "VOUCH---",
						    initiate[1200] = "\10INITIATE";
	size_t len = 128 + metadata_len;

	assert_non_null(zmq_z85_decode(secret, world->secret[who]));
	assert_non_null(zmq_z85_decode(plain, world->public[who]));
	randombytes_buf(nonce + 8, 16);
	memcpy(plain + 32, nonce + 8, 16);
	crypto_scalarmult_base(vouch, peer->short_secret);
	memcpy(vouch + 32, server, 32);
	assert_int_equal(
	    crypto_box_easy(plain + 48, vouch, 64, nonce, peer->server_short, secret), 0);
	memcpy(plain + 128, metadata, metadata_len);
	memcpy(initiate + 9, cookie, 96);
	peer_nonce(peer, nonce, "CurveZMQINITIATE");
	memcpy(initiate + 105, nonce + 16, 8);
	assert_int_equal(crypto_box_easy(initiate + 113, plain, len, nonce, peer->server_short,
			     peer->short_secret),
	    0);
	peer_frame(peer, 4, initiate, 113 + crypto_box_MACBYTES + len);
}

/* Connects with who's key to the server of this key, and says metadata of itself (after the socket's type). */
static inline void peer_open(struct curve_peer *peer, struct world *world, enum who who,
    const char *address, const char *server_key, const uint8_t *extra, size_t extra_len)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	uint8_t server[32], cookie[96], metadata[512], ready[512];

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", address + strlen("ipc://"));
	*peer = (struct curve_peer){.fd = socket(AF_UNIX, SOCK_STREAM, 0)};
	assert_int_equal(connect(peer->fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	randombytes_buf(peer->short_secret, 32);
	assert_non_null(zmq_z85_decode(server, server_key));
	peer_greet(peer, world);
	peer_hello(peer, server);
	peer_welcome(peer, world, server, cookie);
	size_t len = peer_property(metadata, "Socket-Type", "DEALER", 6);
	memcpy(metadata + len, extra, extra_len);
	peer_initiate(peer, world, who, server, cookie, metadata, len + extra_len);
	size_t n = peer_read_frame(peer, world, ready, sizeof(ready));
	assert_true(n > 6 && memcmp(ready, "\5READY", 6) == 0);
}

static inline void peer_send(struct curve_peer *peer, bool more, const void *bytes, size_t len)
{
	uint8_t *plain = malloc(1 + len), *message = malloc(16 + crypto_box_MACBYTES + 1 + len),
		nonce[24];

	plain[0] = more;
	memcpy(plain + 1, bytes, len);
	memcpy(message, "\7MESSAGE", 8);
	peer_nonce(peer, nonce, "CurveZMQMESSAGEC");
	memcpy(message + 8, nonce + 16, 8);
	assert_int_equal(crypto_box_easy(message + 16, plain, 1 + len, nonce, peer->server_short,
			     peer->short_secret),
	    0);
	peer_frame(peer, 0, message, 16 + crypto_box_MACBYTES + 1 + len);
	free(plain);
	free(message);
}

static inline void peer_close(struct curve_peer *peer)
{
	close(peer->fd);
}

#endif
