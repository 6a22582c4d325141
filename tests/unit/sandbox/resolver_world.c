#include "tests/unit/sandbox/resolver_world.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "common/scoped.h"

static void put(struct packet *packet, const void *bytes, size_t len)
{
	assert_true(packet->len + len <= sizeof(packet->bytes));
	memcpy(packet->bytes + packet->len, bytes, len);
	packet->len += len;
}

static void put16(struct packet *packet, unsigned value)
{
	uint8_t bytes[] = {(uint8_t)(value >> 8), (uint8_t)value};
	put(packet, bytes, 2);
}

static void put_name(struct packet *packet, const char *name)
{
	while (*name) {
		uint8_t len = (uint8_t)strcspn(name, ".");
		put(packet, &len, 1);
		put(packet, name, len);
		name += len + (name[len] == '.');
	}
	put(packet, "", 1);
}

struct packet question_of(const char *name, uint16_t type)
{
	struct packet packet = {0};
	put(&packet, "\x12\x34\x01\0\0\1\0\0\0\0\0\0", 12);
	put_name(&packet, name);
	put16(&packet, type);
	put16(&packet, 1);
	return packet;
}

void add_opt(struct packet *packet)
{
	put(packet, "\0\0\x29\x10\0\0\0\0\0\0\0", 11);
	packet->bytes[11]++;
}

/* owner NULL: what was asked for */
static void add_record(
    struct packet *packet, const char *owner, unsigned type, uint32_t ttl, const char *data)
{
	struct packet inner = {0};
	struct in_addr address;
	if (owner)
		put_name(packet, owner);
	else
		put16(packet, 0xc00c);
	put16(packet, type);
	put16(packet, 1);
	put16(packet, ttl >> 16);
	put16(packet, ttl & 0xffff);
	if (type == 1 && inet_pton(AF_INET, data, &address) == 1)
		put(&inner, &address, 4);
	else
		put_name(&inner, data);
	put16(packet, (unsigned)inner.len);
	put(packet, inner.bytes, inner.len);
	packet->bytes[7]++;
}

static void say(struct world *world, const struct packet *packet, const struct sockaddr_in *to)
{
	sendto(world->upstream, packet->bytes, packet->len, 0, (const struct sockaddr *)to,
	    sizeof(*to));
}

/* Everything an attacker elsewhere could get wrong; then what is right. */
static void say_forged(
    struct world *world, const struct packet *right, const struct sockaddr_in *to)
{
	struct packet wrong = *right;
	wrong.bytes[0] ^= 1; /* id */
	wrong.bytes[wrong.len - 1] = 66;
	say(world, &wrong, to);
	wrong.bytes[0] ^= 1;
	wrong.bytes[13] ^= 0x20; /* case */
	say(world, &wrong, to);
	wrong.bytes[13] ^= 0x21; /* name */
	say(world, &wrong, to);
	wrong.bytes[13] ^= 1;
	wrong.bytes[2] &= 0x7f; /* no answer */
	say(world, &wrong, to);
	wrong.bytes[2] |= 0x80;
	wrong.bytes[5] = 2; /* two questions */
	say(world, &wrong, to);
	wrong.bytes[5] = 1;
	wrong.bytes[7] = 9; /* records that are not there */
	say(world, &wrong, to);
	wrong.len = 5;
	say(world, &wrong, to);
	int elsewhere = socket(AF_INET, SOCK_DGRAM, 0); /* another port */
	sendto(elsewhere, right->bytes, right->len, 0, (const struct sockaddr *)to, sizeof(*to));
	close(elsewhere);
	say(world, right, to);
}

static bool is_for(const char *label, const struct packet *packet)
{
	return packet->bytes[12] == strlen(label) &&
	       strncasecmp((const char *)packet->bytes + 13, label, strlen(label)) == 0;
}

static const struct {
	const char *label;
	uint8_t flags, rcode;
	struct {
		const char *owner;
		unsigned type;
		uint32_t ttl;
		const char *data;
	} records[4];
} sayings[] = {
    {"plain", 0, 0, {{NULL, 1, 60, "8.8.8.8"}}},
    {"long", 0, 0, {{NULL, 1, 86400, "8.8.8.8"}}},
    {"short", 0, 0, {{NULL, 1, 0, "8.8.8.8"}}},
    {"odd", 0, 0, {{NULL, 1, 0x80000000, "8.8.8.8"}}},
    {"chain", 0, 0,
	{{"edge.cdn.example", 1, 200, "9.9.9.9"}, {NULL, 5, 40, "www.cdn.example"},
	    {"WWW.CDN.example", 5, 100, "edge.cdn.example"}, {"other.example", 1, 5, "66.6.6.6"}}},
    {"loop", 0, 0, {{NULL, 5, 60, "x.example"}, {"x.example", 5, 60, "loop.example"}}},
    {"stray", 0, 0, {{"other.example", 1, 60, "66.6.6.6"}}},
    {"private", 0, 0, {{NULL, 1, 60, "192.168.1.1"}}},
    {"metadata", 0, 0, {{NULL, 1, 60, "169.254.169.254"}, {NULL, 1, 60, "100.100.100.200"}}},
    {"mixed", 0, 0,
	{{NULL, 1, 60, "10.0.0.1"}, {NULL, 1, 60, "8.8.4.4"}, {NULL, 1, 60, "127.0.0.1"}}},
    {"hidden", 0, 0, {{NULL, 5, 60, "in.example"}, {"in.example", 1, 60, "127.0.0.1"}}},
    {"nothing", 0, 0, {{0}}},
    {"absent", 0, 3, {{0}}},
    {"broken", 0, 2, {{0}}},
    {"refused", 0, 5, {{0}}},
    {"cut", 2, 0, {{NULL, 1, 60, "8.8.8.8"}}},
    {"cutshort", 2, 0, {{0}}},
    {"forged", 0, 0, {{NULL, 1, 60, "8.8.8.8"}}},
    {"old", 0, 0, {{NULL, 1, 60, "8.8.8.8"}}},
};

static void note(struct world *world, const struct packet *packet, const struct sockaddr_in *from)
{
	if (world->asked < 64) {
		memcpy(world->names[world->asked], packet->bytes + 12, 200);
		world->ports[world->asked] = from->sin_port;
	}
	world->asked++;
	world->asked_plain += packet->bytes[11] == 0;
}

static void on_upstream(evutil_socket_t fd, short what, void *arg)
{
	struct world *world = arg;
	struct packet packet = {0};
	struct sockaddr_in from = {0};
	socklen_t size = sizeof(from);
	(void)what;
	packet.len = (size_t)recvfrom(
	    fd, packet.bytes, sizeof(packet.bytes), 0, (struct sockaddr *)&from, &size);
	note(world, &packet, &from);
	bool has_edns = packet.bytes[11] == 1;
	packet.len -= has_edns ? 11 : 0;
	packet.bytes[11] = 0;
	packet.bytes[2] |= 0x80;
	packet.bytes[3] = 0x80;
	if (is_for("old", &packet) && has_edns) {
		packet.bytes[3] |= 1;
		say(world, &packet, &from);
		return;
	}
	for (int i = 1; is_for("many", &packet) && i <= 60; i++) {
		char address[16];
		snprintf(address, sizeof(address), "8.8.8.%d", i);
		add_record(&packet, NULL, 1, 60, address);
	}
	bool is_known = is_for("many", &packet);
	for (size_t i = 0; i < ARRAY_LEN(sayings); i++) {
		if (!is_for(sayings[i].label, &packet))
			continue;
		is_known = true;
		packet.bytes[2] |= sayings[i].flags;
		packet.bytes[3] |= sayings[i].rcode;
		for (size_t j = 0; j < 4 && sayings[i].records[j].data; j++)
			add_record(&packet, sayings[i].records[j].owner, sayings[i].records[j].type,
			    sayings[i].records[j].ttl, sayings[i].records[j].data);
	}
	if (is_for("forged", &packet))
		say_forged(world, &packet, &from);
	else if (is_known)
		say(world, &packet, &from);
}

static const struct egress *policy(void *arg, struct in_addr source, const char **agent_r)
{
	struct world *world = arg;
	if (world->is_gone || source.s_addr == inet_addr(NOBODY))
		return NULL;
	*agent_r = source.s_addr == inet_addr(NARROWED) ? "narrowed" : "open";
	return source.s_addr == inet_addr(NARROWED) ? &world->narrowed : &world->open;
}

static void allow(void *arg, const struct resolver_allowing *allowing)
{
	struct world *world = arg;
	world->nallowed++;
	snprintf(world->allowed_agent, sizeof(world->allowed_agent), "%s", allowing->agent);
	world->allowed_n = allowing->n;
	assert_in_range(allowing->n, 1, 32);
	memcpy(world->allowed, allowing->address, allowing->n * sizeof(struct in_addr));
	world->allowed_ttl_s = allowing->ttl_s;
	world->ticket = allowing->ticket;
	if (!world->allows_later)
		resolver_allowed(world->resolver, allowing->ticket);
}

static bool is_denied(void *arg, struct in_addr address)
{
	const struct world *world = arg;
	return world->denied && address.s_addr == inet_addr(world->denied);
}

/* port_r: in, 0: any; out. */
static int bound(const char *address, uint16_t *port_r)
{
	struct sockaddr_in at = {.sin_family = AF_INET,
	    .sin_addr.s_addr = inet_addr(address),
	    .sin_port = htons(*port_r)};
	socklen_t size = sizeof(at);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &size), 0);
	*port_r = ntohs(at.sin_port);
	return fd;
}

void world_open(struct world *world, const char *upstreams)
{
	world_open_at(world, upstreams, "127.0.0.1", 0);
}

void world_open_at(struct world *world, const char *upstreams, const char *address, uint16_t at)
{
	struct resolver_hooks hooks = {
	    .policy = policy, .allow = allow, .is_denied = is_denied, .arg = world};
	struct error err = {0};
	char own[256];
	uint16_t port = 0;
	static const char listed[] =
	    "plain.example, *.below.example, private.example, mixed.example,"
	    "many.example, absent.example, silent.example, long.example";
	*world = (struct world){.base = event_base_new(), .metrics = metrics_new()};
	assert_int_equal(
	    egress_parse(&world->narrowed, (const uint8_t *)listed, strlen(listed), &err), 0);
	world->upstream = bound("127.0.0.1", &port);
	world->upstream_readable =
	    event_new(world->base, world->upstream, EV_READ | EV_PERSIST, on_upstream, world);
	event_add(world->upstream_readable, NULL);
	snprintf(own, sizeof(own), "%s%s127.0.0.1:%u", upstreams ? upstreams : "",
	    upstreams ? "," : "", port);
	world->port = at;
	int fd = bound(address, &world->port);
	world->resolver = resolver_new(world->base, fd, own, &hooks, world->metrics, &err);
	assert_non_null(world->resolver);
}

void world_close(struct world *world)
{
	resolver_destroy(&world->resolver);
	event_free(world->upstream_readable);
	close(world->upstream);
	event_base_free(world->base);
	metrics_destroy(&world->metrics);
}

uint64_t world_count(struct world *world, const char *result)
{
	char labels[64];
	snprintf(labels, sizeof(labels), "result=\"%s\"", result);
	return metric_value(
	    metrics_counter(world->metrics, "multiclaw_resolver_packets_total", "", labels));
}

uint64_t world_counter(struct world *world, const char *name)
{
	return metric_value(metrics_counter(world->metrics, name, "", NULL));
}

int container_at(struct world *world, const char *address)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
	    .sin_addr.s_addr = inet_addr("127.0.0.1"),
	    .sin_port = htons(world->port)};
	uint16_t port = 0;
	int fd = bound(address, &port);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

void put_question(int container, const struct packet *packet)
{
	assert_int_equal(send(container, packet->bytes, packet->len, 0), packet->len);
}

static unsigned get16(const uint8_t *bytes)
{
	return (unsigned)bytes[0] << 8 | bytes[1];
}

/* Strict: it is our own code that wrote it. */
static void read_reply(struct reply *reply)
{
	const uint8_t *bytes = reply->packet.bytes, *at = bytes + 12;
	reply->id = (uint16_t)get16(bytes);
	reply->flags = (uint16_t)get16(bytes + 2);
	reply->rcode = bytes[3] & 0xf;
	assert_true(reply->packet.len <= 512);
	assert_true(bytes[2] & 0x80);
	for (int i = 0; i < 4; i++)
		reply->counts[i] = (uint16_t)get16(bytes + 4 + 2 * i);
	if (reply->counts[0] == 1) {
		while (*at)
			at += 1 + *at;
		at += 5;
	}
	for (reply->naddresses = 0; reply->naddresses < reply->counts[1]; at += 16) {
		assert_memory_equal(at, "\xc0\x0c\0\1\0\1", 6);
		reply->ttl_s = get16(at + 6) << 16 | get16(at + 8);
		assert_int_equal(get16(at + 10), 4);
		memcpy(&reply->address[reply->naddresses++], at + 12, 4);
	}
	assert_int_equal(reply->counts[2], 0);
	if (reply->counts[3] == 1) {
		assert_memory_equal(at, "\0\0\x29\x04\xd0\0\0\0\0\0\0", 11);
		at += 11;
	}
	assert_ptr_equal(at, bytes + reply->packet.len);
}

static void on_reply(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	event_base_loopbreak(arg);
}

struct reply wait_reply(struct world *world, int container, unsigned ms)
{
	struct reply reply = {0};
	struct timeval most = {ms / 1000, (int)(ms % 1000) * 1000};
	struct event *come = event_new(world->base, container, EV_READ, on_reply, world->base);
	event_add(come, &most);
	event_base_dispatch(world->base);
	event_free(come);
	ssize_t len = recv(container, reply.packet.bytes, sizeof(reply.packet.bytes), MSG_DONTWAIT);
	if (len >= 0) {
		reply.has_come = true;
		reply.packet.len = (size_t)len;
		read_reply(&reply);
	}
	return reply;
}

struct reply ask(struct world *world, const char *from, const char *name, uint16_t type)
{
	scoped_fd int container = container_at(world, from);
	struct packet question = question_of(name, type);
	put_question(container, &question);
	struct reply reply = wait_reply(world, container, 10000);
	assert_true(reply.has_come);
	assert_int_equal(reply.id, 0x1234);
	assert_memory_equal(reply.packet.bytes + 12, question.bytes + 12, question.len - 12);
	return reply;
}
