#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "services/warden/packet.h"
#include "services/warden/secret_files.h"

#define AGENT "abcdefghijklmnopqrstuvwxyz234567"

static struct warden_packet packet_of(uint32_t what)
{
	struct warden_packet packet = {.version = WARDEN_VERSION, .what = what};

	packet_put(packet.agent, sizeof(packet.agent), AGENT);
	packet_put(packet.boot, sizeof(packet.boot), "b0");
	return packet;
}

static struct warden_packet start_packet(void)
{
	struct warden_packet packet = packet_of(WARDEN_START);

	memset(packet.u.start.image, 'a', 64);
	memset(packet.u.start.wallet, '1', 32);
	return packet;
}

static void takes_a_start_and_cuts_its_numbers(void **state)
{
	struct warden_packet packet = start_packet();
	struct error err = {0};

	(void)state;
	packet.u.start.limits.memory_bytes = 0;
	packet.u.start.limits.tmp_bytes = UINT64_MAX;
	packet.u.start.limits.pids = UINT64_MAX;
	packet.u.start.ready_ms = UINT64_MAX;
	assert_int_equal(packet_check(&packet, 1, &err), 0);
	assert_int_equal(packet.u.start.limits.memory_bytes, 16 << 20);
	assert_int_equal(packet.u.start.limits.tmp_bytes, 8 << 20);
	assert_int_equal(packet.u.start.limits.pids, 32768);
	assert_int_equal(packet.u.start.ready_ms, 300000);
}

static void refuses_a_start_that_lacks_or_hides_something(void **state)
{
	struct warden_packet packets[6];
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(packets); i++)
		packets[i] = start_packet();
	packets[0].u.start.image[63] = '\0';
	packets[1].u.start.image[0] = '/';
	packets[2].u.start.wallet[44] = 'x';
	packets[3].u.start.kind[15] = 'x';
	packets[4].boot[20] = 'x';
	packets[5].agent[31] = '1';
	for (size_t i = 0; i < ARRAY_LEN(packets); i++)
		assert_int_equal(packet_check(&packets[i], 1, &err), -1);
	struct warden_packet bare = start_packet();
	assert_int_equal(packet_check(&bare, 0, &err), -1);
	assert_int_equal(packet_check(&bare, 3, &err), -1);
}

static void takes_ranges_that_begin_where_they_say_and_no_others(void **state)
{
	static const struct {
		const char *address;
		uint32_t bits, n;
		bool is_narrowed;
		int result;
	} cases[] = {{"8.8.8.0", 24, 1, true, 0}, {"8.8.8.8", 32, 1, true, 0},
	    {"8.8.8.8", 24, 1, true, -1}, {"8.0.0.0", 7, 1, true, -1}, {"8.8.8.8", 33, 1, true, -1},
	    {"8.8.8.8", 32, 1, false, -1}, {"8.8.8.8", 32, WARDEN_RANGES_MAX + 1, true, -1},
	    {"8.8.8.8", 24, 0, true, 0}};
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct warden_packet packet = start_packet();
		packet.u.start.is_narrowed = cases[i].is_narrowed;
		packet.u.start.nranges = cases[i].n;
		packet.u.start.range[0].bits = cases[i].bits;
		inet_pton(AF_INET, cases[i].address, &packet.u.start.range[0].address);
		assert_int_equal(packet_check(&packet, 1, &err), cases[i].result);
	}
}

static void refuses_more_addresses_than_there_may_be(void **state)
{
	struct warden_packet packet = packet_of(WARDEN_ALLOW);
	struct error err = {0};

	(void)state;
	packet.u.allow.len = WARDEN_ALLOW_MAX;
	assert_int_equal(packet_check(&packet, 0, &err), 0);
	assert_int_equal(packet.u.allow.ttl_s, 1);
	packet.u.allow.len++;
	assert_int_equal(packet_check(&packet, 0, &err), -1);
}

static void fill_archive(struct warden_archive *archive)
{
	packet_put(archive->boot, sizeof(archive->boot), "b0");
	memset(archive->wallet, '1', 32);
}

static void asks_for_an_archive_only_where_a_volume_is_filled(void **state)
{
	struct error err = {0};

	(void)state;
	for (uint32_t volume = 0; volume <= WARDEN_VOLUME_FILLED; volume++) {
		struct warden_packet packet = start_packet();
		bool is_filled = volume == WARDEN_VOLUME_FILLED;
		packet.u.start.volume = volume;
		fill_archive(&packet.u.start.archive);
		assert_int_equal(packet_check(&packet, 1, &err), is_filled ? -1 : 0);
		assert_int_equal(packet_check(&packet, 2, &err), is_filled ? 0 : -1);
		assert_int_equal(packet_check(&packet, 3, &err), -1);
	}
	struct warden_packet packets[5];
	for (size_t i = 0; i < ARRAY_LEN(packets); i++) {
		packets[i] = start_packet();
		packets[i].u.start.volume = WARDEN_VOLUME_FILLED;
		fill_archive(&packets[i].u.start.archive);
	}
	packets[0].u.start.volume = WARDEN_VOLUME_FILLED + 1;
	packets[1].u.start.archive.boot[0] = '\0';
	packets[2].u.start.archive.boot[30] = 'a';
	packets[3].u.start.archive.wallet[0] = '0';
	packets[4].u.start.archive.wallet[44] = '1';
	for (size_t i = 0; i < ARRAY_LEN(packets); i++)
		assert_int_equal(packet_check(&packets[i], 2, &err), -1);
}

static struct warden_packet snapshot_packet(const char *roots, size_t len)
{
	struct warden_packet packet = packet_of(WARDEN_SNAPSHOT);

	fill_archive(&packet.u.snapshot.archive);
	memcpy(packet.u.snapshot.roots, roots, len);
	return packet;
}

static void takes_names_below_data_and_no_others(void **state)
{
#define NAMES(text) text, sizeof(text)
	static const struct {
		const char *names;
		size_t len;
		int result;
	} cases[] = {{NAMES("a"), 0}, {NAMES("a/b c/..d/.e\0\xc3\xa9"), 0}, {NAMES(".openclaw"), 0},
	    {NAMES(""), -1}, {NAMES("/a"), -1}, {NAMES("a/"), -1}, {NAMES("a//b"), -1},
	    {NAMES("."), -1}, {NAMES(".."), -1}, {NAMES("a\0../b"), -1}, {NAMES("a/./b"), -1},
	    {NAMES("a/.."), -1}, {NAMES("a\0\0b"), -1}};
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct warden_packet packet = snapshot_packet(cases[i].names, cases[i].len);
		assert_int_equal(packet_check(&packet, 2, &err), cases[i].result);
		packet = snapshot_packet("a", 2);
		memcpy(packet.u.snapshot.excluded, cases[i].names, cases[i].len);
		/* nothing need be excluded */
		assert_int_equal(
		    packet_check(&packet, 2, &err), cases[i].len == 1 ? 0 : cases[i].result);
	}
	struct warden_packet packet = snapshot_packet("a", 2);
	memset(packet.u.snapshot.roots, 'a', WARDEN_ROOTS_BYTES);
	assert_int_equal(packet_check(&packet, 2, &err), -1);
	packet.u.snapshot.roots[WARDEN_ROOTS_BYTES - 1] = '\0';
	assert_int_equal(packet_check(&packet, 2, &err), -1);
	/* no part that no file can have */
	memset(packet.u.snapshot.roots, 0, WARDEN_ROOTS_BYTES);
	memset(packet.u.snapshot.roots, 'a', 256);
	assert_int_equal(packet_check(&packet, 2, &err), -1);
}

static void cuts_what_a_snapshot_and_a_hold_ask_for(void **state)
{
	struct warden_packet packet = snapshot_packet("a", 2), stop = packet_of(WARDEN_STOP);
	struct error err = {0};

	(void)state;
	packet.u.snapshot.level = 0;
	packet.u.snapshot.bytes_max = UINT64_MAX;
	assert_int_equal(packet_check(&packet, 2, &err), 0);
	assert_int_equal(packet.u.snapshot.level, 1);
	assert_int_equal(packet.u.snapshot.bytes_max, 1ull << 42);
	packet.u.snapshot.level = 20;
	assert_int_equal(packet_check(&packet, 2, &err), 0);
	assert_int_equal(packet.u.snapshot.level, 19);
	assert_int_equal(packet_check(&packet, 1, &err), -1);
	assert_int_equal(packet_check(&packet, 0, &err), -1);
	stop.u.stop.hold_ms = UINT64_MAX;
	assert_int_equal(packet_check(&stop, 0, &err), 0);
	assert_int_equal(stop.u.stop.hold_ms, 6 * 3600 * 1000);
	stop = packet_of(WARDEN_RELEASE);
	assert_int_equal(packet_check(&stop, 0, &err), 0);
	assert_int_equal(packet_check(&stop, 1, &err), -1);
}

static void refuses_arguments_without_an_end(void **state)
{
	struct warden_packet packet = packet_of(WARDEN_EXEC);
	struct error err = {0};

	(void)state;
	memcpy(packet.u.exec.text, "ls", 3);
	packet.u.exec.len = 3;
	assert_int_equal(packet_check(&packet, 0, &err), 0);
	packet.u.exec.len = 2;
	assert_int_equal(packet_check(&packet, 0, &err), -1);
	packet.u.exec.len = WARDEN_EXEC_BYTES + 1;
	assert_int_equal(packet_check(&packet, 0, &err), -1);
	packet.u.exec.len = 0;
	assert_int_equal(packet_check(&packet, 0, &err), -1);
}

static void refuses_paths_that_lead_out(void **state)
{
	static const char *const good[] = {
	    "a", "a/b", "llm/OPENAI_API_KEY", "wallet/hot.json", "..a"};
	static const char *const bad[] = {"", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "./a",
	    "a b", "a\n", "\xc3\xa9", "1/2/3/4/5/6/7/8/9"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_true(secret_files_is_path(good[i], strlen(good[i])));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(secret_files_is_path(bad[i], strlen(bad[i])));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(takes_a_start_and_cuts_its_numbers),
	    cmocka_unit_test(refuses_a_start_that_lacks_or_hides_something),
	    cmocka_unit_test(takes_ranges_that_begin_where_they_say_and_no_others),
	    cmocka_unit_test(refuses_more_addresses_than_there_may_be),
	    cmocka_unit_test(asks_for_an_archive_only_where_a_volume_is_filled),
	    cmocka_unit_test(takes_names_below_data_and_no_others),
	    cmocka_unit_test(cuts_what_a_snapshot_and_a_hold_ask_for),
	    cmocka_unit_test(refuses_arguments_without_an_end),
	    cmocka_unit_test(refuses_paths_that_lead_out)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
