#include "tests/unit/sandbox/resolver_world.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/scoped.h"
#include "services/sandbox/resolver_sources.h"
#include "services/sandbox/resolver_upstreams.h"

enum { NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED };
enum {
	A = 1,
	PTR = 12,
	TXT = 16,
	AAAA = 28,
	SRV = 33,
	HTTPS = 65,
	IXFR = 251,
	AXFR = 252,
	ANY = 255
};

static struct world world;

static int open_world(void **state)
{
	(void)state;
	world_open(&world, NULL);
	return 0;
}

static int close_world(void **state)
{
	(void)state;
	world_close(&world);
	clock_fake(0, 0);
	return 0;
}

static void what_upstream_says_reaches_the_container_as_addresses(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		unsigned rcode;
		const char *address;
		uint32_t ttl_s;
	} cases[] = {
	    {"plain.example", NOERROR, "8.8.8.8", 60},
	    {"PlAiN.eXaMpLe", NOERROR, "8.8.8.8", 60},
	    {"long.example", NOERROR, "8.8.8.8", 300},
	    {"short.example", NOERROR, "8.8.8.8", 1},
	    {"odd.example", NOERROR, "8.8.8.8", 1},
	    {"chain.example", NOERROR, "9.9.9.9", 40},
	    {"cut.example", NOERROR, "8.8.8.8", 60},
	    {"old.example", NOERROR, "8.8.8.8", 60},
	    {"forged.example", NOERROR, "8.8.8.8", 60},
	    {"nothing.example", NOERROR, NULL, 0},
	    {"stray.example", NOERROR, NULL, 0},
	    {"absent.example", NXDOMAIN, NULL, 0},
	    {"broken.example", SERVFAIL, NULL, 0},
	    {"refused.example", SERVFAIL, NULL, 0},
	    {"cutshort.example", SERVFAIL, NULL, 0},
	    {"loop.example", SERVFAIL, NULL, 0},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct reply reply = ask(&world, OPEN, cases[i].name, A);
		if (reply.rcode != cases[i].rcode || reply.naddresses != !!cases[i].address)
			fail_msg("%s: %u, %zu", cases[i].name, reply.rcode, reply.naddresses);
		assert_int_equal(
		    reply.flags & 0x87f0, 0x8180 & 0x87f0); /* QR RA, neither AA nor TC */
		assert_int_equal(reply.flags & 0x0100, 0x0100);
		if (cases[i].address)
			assert_int_equal(reply.address[0].s_addr, inet_addr(cases[i].address));
		assert_int_equal(reply.ttl_s, cases[i].ttl_s);
	}
	assert_int_equal(world.nallowed, 0);
}

static void answers_that_are_not_public_do_not_exist(void **state)
{
	(void)state;
	static const char *const names[] = {
	    "private.example", "metadata.example", "hidden.example"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct reply reply = ask(&world, OPEN, names[i], A);
		assert_int_equal(reply.rcode, NXDOMAIN);
		assert_int_equal(reply.naddresses, 0);
	}
	assert_int_equal(world_counter(&world, "multiclaw_resolver_special_total"), 4);
	struct reply reply = ask(&world, OPEN, "mixed.example", A);
	assert_int_equal(reply.naddresses, 1);
	assert_int_equal(reply.address[0].s_addr, inet_addr("8.8.4.4"));
	assert_int_equal(world_counter(&world, "multiclaw_resolver_special_total"), 6);
	/* nor do they for who listed the name */
	assert_int_equal(ask(&world, NARROWED, "private.example", A).rcode, NXDOMAIN);
	assert_int_equal(world.nallowed, 0);
	ask(&world, NARROWED, "mixed.example", A);
	assert_int_equal(world.allowed_n, 1);
	assert_int_equal(world.allowed[0].s_addr, inet_addr("8.8.4.4"));
}

static void answers_that_the_host_denies_do_not_exist(void **state)
{
	(void)state;
	world.denied = "8.8.8.8";
	assert_int_equal(ask(&world, OPEN, "plain.example", A).rcode, NXDOMAIN);
	assert_int_equal(ask(&world, NARROWED, "plain.example", A).rcode, NXDOMAIN);
	assert_int_equal(world.nallowed, 0);
	assert_int_equal(ask(&world, OPEN, "mixed.example", A).naddresses, A);
	world.denied = "8.8.4.4";
	assert_int_equal(ask(&world, OPEN, "mixed.example", A).rcode, NXDOMAIN);
	assert_int_equal(ask(&world, OPEN, "plain.example", A).naddresses, A);
}

static void forged_answers_are_waited_past_and_counted(void **state)
{
	(void)state;
	ask(&world, OPEN, "forged.example", A);
	assert_int_equal(world_counter(&world, "multiclaw_resolver_unfit_total"), 7);
	assert_int_equal(world_count(&world, "answered"), 1);
}

static void ports_and_letters_are_random(void **state)
{
	(void)state;
	unsigned upper = 0, lower = 0, ports = 0;
	for (int i = 0; i < 20; i++)
		ask(&world, OPEN, "plain.example", A);
	for (int i = 0; i < 20; i++) {
		for (const uint8_t *c = world.names[i]; *c; c++) {
			upper += isupper(*c) != 0;
			lower += islower(*c) != 0;
		}
		ports += i > 0 && world.ports[i] != world.ports[i - 1];
	}
	assert_true(upper > 50 && lower > 50); /* of 240 letters */
	assert_true(ports > 10);
}

static void other_types_are_empty_without_asking_anybody(void **state)
{
	(void)state;
	static const struct {
		uint16_t type;
		unsigned rcode;
	} cases[] = {{AAAA, NOERROR}, {PTR, NOERROR}, {TXT, NOERROR}, {SRV, NOERROR},
	    {HTTPS, NOERROR}, {IXFR, NOTIMP}, {AXFR, NOTIMP}, {ANY, NOTIMP}, {41, NOTIMP},
	    {257, NOERROR}};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct reply reply = ask(&world, OPEN, "plain.example", cases[i].type);
		assert_int_equal(reply.rcode, cases[i].rcode);
		assert_int_equal(reply.naddresses, 0);
		assert_int_equal(
		    reply.flags & 0x0080, 0x0080); /* or libc takes us for a lame server */
	}
	assert_int_equal(world.asked, 0);
}

static void names_that_no_host_has_are_not_asked_for(void **state)
{
	(void)state;
	static const char *const names[] = {"", "a b.example", "\xc3\xbc.example", "a\"b.example"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		assert_int_equal(ask(&world, OPEN, names[i], A).rcode, NXDOMAIN);
	/* "plain.example" in one label */
	struct packet packet = question_of("plainxexample", A);
	packet.bytes[18] = '.';
	scoped_fd int container = container_at(&world, NARROWED);
	put_question(container, &packet);
	assert_int_equal(wait_reply(&world, container, 5000).rcode, REFUSED);
	assert_int_equal(world.asked, 0);
}

static void a_narrowed_agent_is_told_only_what_its_owner_listed(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		uint16_t type;
		unsigned rcode;
	} cases[] = {
	    {"chain.example", A, REFUSED},
	    {"chain.example", AAAA, REFUSED},
	    {"chain.example", TXT, REFUSED},
	    {"secret.of.plain.example", A, REFUSED},
	    {"below.example", A, REFUSED},
	    {"plain.example", A, NOERROR},
	    {"plain.example", AAAA, NOERROR},
	    {"plain.below.example", A, NOERROR},
	    {"absent.example", A, NXDOMAIN},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		unsigned before = world.asked;
		if (ask(&world, NARROWED, cases[i].name, cases[i].type).rcode != cases[i].rcode)
			fail_msg("%s %u", cases[i].name, cases[i].type);
		/* a question that goes upstream would carry whatever is in the name */
		assert_int_equal(
		    world.asked - before, cases[i].type == A && cases[i].rcode != REFUSED);
	}
	assert_int_equal(world.nallowed, 2);
	assert_string_equal(world.allowed_agent, "narrowed");
	assert_int_equal(world.allowed_n, 1);
	assert_int_equal(world.allowed[0].s_addr, inet_addr("8.8.8.8"));
	assert_int_equal(world.allowed_ttl_s, 60 + RESOLVER_ALLOW_MORE_S);
	ask(&world, NARROWED, "long.example", A);
	assert_int_equal(world.allowed_ttl_s, RESOLVER_TTL_MAX_S + RESOLVER_ALLOW_MORE_S);
}

static void an_answer_waits_until_its_addresses_are_let_through(void **state)
{
	(void)state;
	scoped_fd int container = container_at(&world, NARROWED);
	struct packet question = question_of("plain.example", A);
	world.allows_later = true;
	put_question(container, &question);
	assert_false(wait_reply(&world, container, 200).has_come);
	assert_int_equal(world.nallowed, 1);
	resolver_allowed(world.resolver, world.ticket + 1);
	resolver_allowed(world.resolver, 0);
	assert_false(wait_reply(&world, container, 50).has_come);
	resolver_allowed(world.resolver, world.ticket);
	struct reply reply = wait_reply(&world, container, 5000);
	assert_true(reply.has_come);
	assert_int_equal(reply.address[0].s_addr, inet_addr("8.8.8.8"));
	resolver_allowed(world.resolver, world.ticket); /* over: nothing happens */
	assert_false(wait_reply(&world, container, 50).has_come);
}

static void addresses_of_a_reply_are_those_that_are_let_through(void **state)
{
	(void)state;
	struct reply reply = ask(&world, NARROWED, "many.example", A);
	assert_in_range(reply.naddresses, 25, 32);
	assert_int_equal(world.allowed_n, reply.naddresses);
	assert_memory_equal(
	    world.allowed, reply.address, reply.naddresses * sizeof(reply.address[0]));
}

static void edns_is_answered_with_edns(void **state)
{
	(void)state;
	scoped_fd int container = container_at(&world, OPEN);
	struct packet question = question_of("many.example", A);
	add_opt(&question);
	put_question(container, &question);
	struct reply reply = wait_reply(&world, container, 5000);
	assert_int_equal(reply.counts[3], 1);
	assert_true(reply.naddresses > 25);
}

static void other_kinds_of_requests_are_not_implemented(void **state)
{
	(void)state;
	scoped_fd int container = container_at(&world, OPEN);
	struct packet packet = question_of("plain.example", A);
	packet.bytes[2] = 0x28; /* UPDATE */
	put_question(container, &packet);
	struct reply reply = wait_reply(&world, container, 5000);
	assert_int_equal(reply.rcode, NOTIMP);
	assert_int_equal(reply.counts[0], 0);
	packet = question_of("plain.example", A);
	packet.bytes[packet.len - 1] = 3; /* CHAOS */
	put_question(container, &packet);
	assert_int_equal(wait_reply(&world, container, 5000).rcode, NOTIMP);
}

/* Then a good one, whose answer is the first thing that comes. */
static void malformed_packets_are_dropped(void **state)
{
	(void)state;
	static const struct {
		size_t at;
		uint8_t byte;
	} changes[] = {
	    {2, 0x81},  /* an answer */
	    {2, 0x03},  /* cut */
	    {5, 0},     /* no question */
	    {5, 2},     /* two */
	    {7, 1},     /* records */
	    {9, 1},     /* authority */
	    {11, 1},    /* more than there is */
	    {10, 0xff}, /* much more */
	    {12, 63},   /* a label that ends behind the packet */
	    {12, 0x40}, /* kinds of labels that do not exist */
	    {12, 0x80},
	    {12, 0xc0}, /* pointers */
	    {18, 0xc0},
	    {26, 200},
	};
	struct packet good = question_of("plain.example", A), bad;
	scoped_fd int container = container_at(&world, OPEN);
	uint64_t n = 0;
	for (size_t i = 0; i < ARRAY_LEN(changes); i++, n++) {
		bad = good;
		bad.bytes[changes[i].at] = changes[i].byte;
		put_question(container, &bad);
	}
	for (size_t len = 0; len < good.len; len++, n++) {
		bad = good;
		bad.len = len;
		put_question(container, &bad);
	}
	bad = good;
	add_opt(&bad);
	add_opt(&bad); /* two of them */
	put_question(container, &bad);
	bad = good;
	bad.len = 2000; /* longer than anybody needs */
	put_question(container, &bad);
	put_question(container, &good);
	assert_int_equal(wait_reply(&world, container, 5000).rcode, NOERROR);
	assert_int_equal(world_count(&world, "malformed"), n + 2);
	assert_int_equal(world_count(&world, "answered"), 1);
	assert_int_equal(world.asked, 1);
}

static void a_name_of_all_255_bytes_is_served(void **state)
{
	(void)state;
	char name[256] = "many.";
	for (size_t i = 5; i < 253; i++)
		name[i] = i % 50 == 49 ? '.' : 'x';
	struct reply reply = ask(&world, OPEN, name, A);
	assert_int_equal(reply.rcode, NOERROR);
	assert_in_range(reply.naddresses, 10, 16);
}

static void who_is_nobody_gets_no_answer(void **state)
{
	(void)state;
	scoped_fd int nobody = container_at(&world, NOBODY);
	struct packet question = question_of("plain.example", A);
	put_question(nobody, &question);
	ask(&world, OPEN, "plain.example", A);
	assert_false(wait_reply(&world, nobody, 20).has_come);
	assert_int_equal(world_count(&world, "unknown"), 1);
	assert_int_equal(world.asked, 1);
}

static void an_agent_that_ended_meanwhile_gets_no_answer_and_nothing_let_through(void **state)
{
	(void)state;
	scoped_fd int container = container_at(&world, NARROWED);
	struct packet question = question_of("plain.example", A);
	put_question(container, &question);
	while (world.asked == 0) /* its question is taken, the answer is on its way */
		event_base_loop(world.base, EVLOOP_ONCE);
	world.is_gone = true;
	assert_false(wait_reply(&world, container, 100).has_come);
	assert_int_equal(world.nallowed, 0);
	assert_int_equal(world_count(&world, "unknown"), 1);
}

static void who_asks_too_often_is_not_heard_and_others_are(void **state)
{
	(void)state;
	scoped_fd int container = container_at(&world, OPEN);
	struct packet question = question_of("plain.example", AAAA);
	clock_fake(1000000, 1000000);
	for (int i = 0; i < RESOLVER_BURST; i++)
		assert_int_equal(ask(&world, OPEN, "plain.example", AAAA).rcode, NOERROR);
	put_question(container, &question);
	assert_int_equal(ask(&world, NARROWED, "plain.example", AAAA).rcode, NOERROR);
	assert_false(wait_reply(&world, container, 20).has_come);
	assert_int_equal(world_count(&world, "limited"), 1);
	clock_fake(1000100, 1000100); /* RESOLVER_PER_S / 10 more */
	for (int i = 0; i < RESOLVER_PER_S / 10; i++)
		assert_int_equal(ask(&world, OPEN, "plain.example", AAAA).rcode, NOERROR);
	put_question(container, &question);
	assert_false(wait_reply(&world, container, 20).has_come);
	assert_int_equal(world_count(&world, "limited"), 2);
}

static void who_waits_for_too_many_names_is_told_so_and_others_are_served(void **state)
{
	(void)state;
	scoped_fd int container = container_at(&world, OPEN);
	struct packet question = question_of("silent.example", A);
	for (int i = 0; i < RESOLVER_OUTSTANDING_MAX; i++)
		put_question(container, &question);
	assert_false(wait_reply(&world, container, 200).has_come);
	put_question(container, &question);
	assert_int_equal(wait_reply(&world, container, 5000).rcode, SERVFAIL);
	assert_int_equal(world_count(&world, "overload"), 1);
	assert_int_equal(ask(&world, NARROWED, "plain.example", A).rcode, NOERROR);
	/* destroyed with all of them under way */
}

/* Sources of which each may have some more. */
static void all_together_wait_for_no_more_than_there_may_be(void **state)
{
	(void)state;
	struct packet question = question_of("silent.example", A);
	int containers[RESOLVER_LOOKUPS_MAX / 64];
	for (size_t i = 0; i < ARRAY_LEN(containers); i++) {
		char address[16];
		snprintf(address, sizeof(address), "127.0.1.%zu", 2 * i + 1);
		containers[i] = container_at(&world, address);
		for (int j = 0; j < 64; j++)
			put_question(containers[i], &question);
		assert_false(wait_reply(&world, containers[i], 20).has_come);
	}
	assert_int_equal(ask(&world, OPEN, "plain.example", A).rcode, SERVFAIL);
	assert_int_equal(world_count(&world, "overload"), 1);
	assert_int_equal(ask(&world, OPEN, "plain.example", AAAA).rcode, NOERROR);
	for (size_t i = 0; i < ARRAY_LEN(containers); i++)
		close(containers[i]);
}

static void silence_is_servfail_after_three_tries_and_five_seconds(void **state)
{
	(void)state;
	scoped_fd int open = container_at(&world, OPEN), narrowed = container_at(&world, NARROWED);
	struct packet silent = question_of("silent.example", A),
		      held = question_of("plain.example", A);
	world.allows_later = true; /* nobody ever says that it is let through */
	uint64_t begin = clock_boot_ms();
	put_question(narrowed, &held);
	put_question(open, &silent);
	struct reply reply = wait_reply(&world, open, 10000);
	assert_in_range(clock_boot_ms() - begin, RESOLVER_PATIENCE_MS - 50, 9000);
	assert_int_equal(reply.rcode, SERVFAIL);
	assert_int_equal(world.asked, 1 + 3);
	assert_int_equal(world.asked_plain, 1); /* the last of them */
	reply = wait_reply(&world, narrowed, 2000);
	assert_true(reply.has_come);
	assert_int_equal(reply.rcode, SERVFAIL);
	assert_int_equal(reply.naddresses, 0);
	assert_int_equal(world_count(&world, "failed"), 2);
}

static void another_upstream_is_asked_where_nobody_listens(void **state)
{
	(void)state;
	world_close(&world);
	world_open(&world, "127.0.0.1:1");
	uint64_t begin = clock_boot_ms();
	assert_int_equal(ask(&world, OPEN, "plain.example", A).rcode, NOERROR);
	assert_int_equal(ask(&world, OPEN, "plain.example", A).rcode, NOERROR);
	assert_true(clock_boot_ms() - begin < 1500);
}

static void another_upstream_is_asked_where_one_is_silent(void **state)
{
	(void)state;
	uint16_t port;
	char address[32];
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(at);
	scoped_fd int mute = socket(AF_INET, SOCK_DGRAM, 0);
	assert_int_equal(bind(mute, (struct sockaddr *)&at, sizeof(at)), 0);
	getsockname(mute, (struct sockaddr *)&at, &size);
	port = ntohs(at.sin_port);
	snprintf(address, sizeof(address), "127.0.0.1:%u", port);
	world_close(&world);
	world_open(&world, address);
	assert_int_equal(ask(&world, OPEN, "plain.example", A).rcode, NOERROR);
	uint64_t begin = clock_boot_ms(); /* from now on the one that answered is asked first */
	assert_int_equal(ask(&world, OPEN, "plain.example", A).rcode, NOERROR);
	assert_true(clock_boot_ms() - begin < 1500);
}

static void upstreams_are_addresses_or_a_file_of_them(void **state)
{
	(void)state;
	static const struct {
		const char *setting;
		size_t n;
	} cases[] = {
	    {"9.9.9.9", 1},
	    {"9.9.9.9:5353, [2620:fe::fe]:53,2620:fe::9", 3},
	    {"9.9.9.9,", 0},
	    {",9.9.9.9", 0},
	    {"9.9.9.9 8.8.8.8", 0},
	    {"dns.example", 0},
	    {"9.9.9.9:70000", 0},
	    {"1.1.1.1,1.1.1.2,1.1.1.3,1.1.1.4,1.1.1.5,1.1.1.6,1.1.1.7,1.1.1.8,1.1.1.9", 0},
	    {"/nonexistent/resolv.conf", 0},
	    {"/dev/null", 0},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct resolver_upstreams upstreams;
		struct error err = {0};
		int status = resolver_upstreams_init(&upstreams, cases[i].setting, &err);
		if ((status == 0) != (cases[i].n > 0) ||
		    upstreams.n != (status ? upstreams.n : cases[i].n))
			fail_msg("%s: %s", cases[i].setting, err.text);
		if (status != 0)
			assert_int_equal(err.code, ERR_INVALID);
		resolver_upstreams_clear(&upstreams);
	}
}

static void a_file_of_upstreams_is_read_again_when_it_changes(void **state)
{
	(void)state;
	char path[] = "/tmp/multiclaw-resolv-XXXXXX";
	struct resolver_upstreams upstreams;
	struct error err = {0};
	scoped_fd int fd = mkostemp(path, O_APPEND);
	assert_true(fd >= 0);
	dprintf(fd, "# ours\nsearch example\nnameserver 127.0.0.53\nnameserver dns.example\n"
		    "nameserver\t::1\noptions edns0\n");
	clock_fake(1, 1000000);
	assert_int_equal(resolver_upstreams_init(&upstreams, path, &err), 0);
	assert_int_equal(upstreams.n, 2);
	assert_int_equal(ftruncate(fd, 0), 0);
	resolver_upstreams_look(&upstreams);
	clock_fake(1, 1020000);
	resolver_upstreams_look(&upstreams); /* half written: nothing changes */
	assert_int_equal(upstreams.n, 2);
	dprintf(fd, "nameserver 9.9.9.9\n");
	resolver_upstreams_look(&upstreams); /* looked at a moment ago */
	assert_int_equal(upstreams.n, 2);
	clock_fake(1, 1040000);
	resolver_upstreams_look(&upstreams);
	assert_int_equal(upstreams.n, 1);
	unlink(path);
	resolver_upstreams_clear(&upstreams);
	clock_fake(0, 0);
}

static void the_table_of_sources_is_full_only_with_those_that_ask(void **state)
{
	(void)state;
	static struct resolver_sources sources;
	clock_fake(1, 1000000);
	struct in_addr address = {htonl(0x0ad50001)};
	for (uint32_t i = 0; i < 8; i++) {
		address.s_addr = htonl(0x0ad50001 + i * 2 * RESOLVER_SOURCES);
		struct resolver_source *source = resolver_sources_take(&sources, address);
		assert_non_null(source);
		assert_ptr_equal(resolver_sources_take(&sources, address), source);
		source->outstanding = i == 0;
	}
	address.s_addr = htonl(0x0ad50001 + 8 * 2 * RESOLVER_SOURCES);
	assert_null(resolver_sources_take(&sources, address));
	clock_fake(1, 1001000);
	struct resolver_source *source = resolver_sources_take(&sources, address);
	assert_non_null(source);
	assert_int_equal(source->outstanding, 0); /* not the place of the one that waits */
	clock_fake(0, 0);
}

#define in_world(test) cmocka_unit_test_setup_teardown(test, open_world, close_world)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    in_world(what_upstream_says_reaches_the_container_as_addresses),
	    in_world(answers_that_are_not_public_do_not_exist),
	    in_world(answers_that_the_host_denies_do_not_exist),
	    in_world(forged_answers_are_waited_past_and_counted),
	    in_world(ports_and_letters_are_random),
	    in_world(other_types_are_empty_without_asking_anybody),
	    in_world(names_that_no_host_has_are_not_asked_for),
	    in_world(a_narrowed_agent_is_told_only_what_its_owner_listed),
	    in_world(an_answer_waits_until_its_addresses_are_let_through),
	    in_world(addresses_of_a_reply_are_those_that_are_let_through),
	    in_world(edns_is_answered_with_edns),
	    in_world(other_kinds_of_requests_are_not_implemented),
	    in_world(malformed_packets_are_dropped),
	    in_world(a_name_of_all_255_bytes_is_served),
	    in_world(who_is_nobody_gets_no_answer),
	    in_world(an_agent_that_ended_meanwhile_gets_no_answer_and_nothing_let_through),
	    in_world(who_asks_too_often_is_not_heard_and_others_are),
	    in_world(who_waits_for_too_many_names_is_told_so_and_others_are_served),
	    in_world(all_together_wait_for_no_more_than_there_may_be),
	    in_world(silence_is_servfail_after_three_tries_and_five_seconds),
	    in_world(another_upstream_is_asked_where_nobody_listens),
	    in_world(another_upstream_is_asked_where_one_is_silent),
	    cmocka_unit_test(upstreams_are_addresses_or_a_file_of_them),
	    cmocka_unit_test(a_file_of_upstreams_is_read_again_when_it_changes),
	    cmocka_unit_test(the_table_of_sources_is_full_only_with_those_that_ask),
	};
	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
