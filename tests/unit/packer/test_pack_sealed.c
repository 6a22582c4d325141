#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/scoped.h"
#include "services/packer/sealed.h"

#define AGENT "abcdefghijklmnopqrstuvwxyz234567"
#define WIRE_CHUNK (SEALED_CHUNK + 17)

static struct warden_archive archive_named(void)
{
	struct warden_archive archive = {.number = 7,
	    .boot = "b0",
	    .wallet = "4uQeVj5tqViQh7yWWGStvkEG1Zmhx6uasJtWCJziofM",
	    .period = 9};

	memset(archive.key, 'k', sizeof(archive.key));
	return archive;
}

/* len bytes of a pattern, sealed; in a memfd, at its end. */
static int sealed_of(size_t len, uint8_t digest_r[SEALED_DIGEST])
{
	struct warden_archive archive = archive_named();
	int fd = memfd_create("sealed", MFD_CLOEXEC);
	scoped_free uint8_t *plain = malloc(len + 1);
	struct error err = {0};
	uint64_t wire;

	for (size_t i = 0; i < len; i++)
		plain[i] = (uint8_t)(i * 7 + i / 251);
	struct sealed_writer *writer = sealed_writer_new(fd, AGENT, &archive);
	assert_true(sodium_is_zero(archive.key, sizeof(archive.key)));
	/* in pieces of another size than chunks have */
	for (size_t at = 0; at < len; at += 50000)
		assert_int_equal(
		    sealed_write(writer, plain + at, len - at < 50000 ? len - at : 50000, &err), 0);
	assert_int_equal(sealed_finish(writer, digest_r, &wire, &err), 0);
	sealed_writer_destroy(&writer);
	assert_null(writer);
	assert_int_equal(lseek(fd, 0, SEEK_END), (off_t)wire);
	return fd;
}

/* Bytes that come out, or -1. */
static ssize_t opened(int fd, const char *agent, struct warden_archive archive,
    uint8_t digest_r[SEALED_DIGEST], struct error *err)
{
	struct sealed_reader *reader;
	const uint8_t *bytes;
	ssize_t len, all = 0;
	uint64_t wire;

	lseek(fd, 0, SEEK_SET);
	reader = sealed_reader_new(fd, agent, &archive);
	while ((len = sealed_read(reader, &bytes, err)) > 0) {
		for (ssize_t i = 0; i < len; i++, all++)
			if (bytes[i] != (uint8_t)(all * 7 + all / 251))
				fail_msg("byte %zd is another", all);
	}
	if (len == 0 && digest_r)
		sealed_digest(reader, digest_r, &wire);
	sealed_reader_destroy(&reader);
	return len < 0 ? -1 : all;
}

static void gives_back_what_went_in(void **state)
{
	static const size_t lens[] = {
	    0, 1, SEALED_CHUNK - 1, SEALED_CHUNK, SEALED_CHUNK + 1, 3 * SEALED_CHUNK, 200001};
	uint8_t digest[SEALED_DIGEST], again[SEALED_DIGEST];
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		scoped_fd int fd = sealed_of(lens[i], digest);
		assert_int_equal(opened(fd, AGENT, archive_named(), again, &err), lens[i]);
		assert_memory_equal(digest, again, sizeof(digest));
	}
}

static void refuses_one_that_is_cut_off_anywhere(void **state)
{
	uint8_t digest[SEALED_DIGEST];
	struct error err = {0};
	scoped_fd int fd = sealed_of(3 * SEALED_CHUNK + 5, digest);
	off_t len = lseek(fd, 0, SEEK_END);

	(void)state;
	const off_t cuts[] = {len - 1, len - 22, 24 + 3 * WIRE_CHUNK + 1, 24 + 3 * WIRE_CHUNK,
	    24 + 3 * WIRE_CHUNK - 1, 24 + 2 * WIRE_CHUNK, 24 + WIRE_CHUNK, 24 + WIRE_CHUNK - 1,
	    24 + 17, 24, 23, 1, 0};
	for (size_t i = 0; i < ARRAY_LEN(cuts); i++) {
		assert_int_equal(ftruncate(fd, cuts[i]), 0);
		assert_int_equal(opened(fd, AGENT, archive_named(), NULL, &err), -1);
		assert_int_equal(err.code, ERR_INVALID);
	}
}

static void refuses_what_follows_the_end(void **state)
{
	static const size_t lens[] = {10, SEALED_CHUNK};
	uint8_t digest[SEALED_DIGEST];
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		scoped_fd int fd = sealed_of(lens[i], digest);
		assert_int_equal(write(fd, "x", 1), 1);
		assert_int_equal(opened(fd, AGENT, archive_named(), NULL, &err), -1);
	}
}

static void refuses_a_bit_that_flipped_and_chunks_that_changed_places(void **state)
{
	uint8_t digest[SEALED_DIGEST], byte;
	struct error err = {0};
	scoped_fd int fd = sealed_of(2 * SEALED_CHUNK + 9, digest);
	off_t len = lseek(fd, 0, SEEK_END);
	scoped_free uint8_t *chunks = malloc(2 * WIRE_CHUNK);

	(void)state;
	for (off_t at = 0; at < len; at += at < 60 ? 1 : 6553) {
		assert_int_equal(pread(fd, &byte, 1, at), 1);
		byte ^= (uint8_t)(1 << (at % 8));
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
		assert_int_equal(opened(fd, AGENT, archive_named(), NULL, &err), -1);
		byte ^= (uint8_t)(1 << (at % 8));
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	}
	assert_int_equal(opened(fd, AGENT, archive_named(), NULL, &err), 2 * SEALED_CHUNK + 9);
	assert_int_equal(pread(fd, chunks, 2 * WIRE_CHUNK, 24), 2 * WIRE_CHUNK);
	assert_int_equal(pwrite(fd, chunks, WIRE_CHUNK, 24 + WIRE_CHUNK), WIRE_CHUNK);
	assert_int_equal(opened(fd, AGENT, archive_named(), NULL, &err), -1);
	assert_int_equal(pwrite(fd, chunks + WIRE_CHUNK, WIRE_CHUNK, 24), WIRE_CHUNK);
	assert_int_equal(opened(fd, AGENT, archive_named(), NULL, &err), -1);
}

static void opens_for_what_it_belongs_to_alone(void **state)
{
	struct warden_archive others[6];
	uint8_t digest[SEALED_DIGEST];
	struct error err = {0};
	scoped_fd int fd = sealed_of(100, digest);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		others[i] = archive_named();
	others[0].number++;
	others[1].period++;
	others[2].boot[1] = '1';
	others[3].wallet[0] = '5';
	others[4].key[31] ^= 1;
	/* one text's end as the other's beginning */
	others[5].boot[0] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		assert_int_equal(opened(fd, AGENT, others[i], NULL, &err), -1);
	assert_int_equal(
	    opened(fd, "bbcdefghijklmnopqrstuvwxyz234567", archive_named(), NULL, &err), -1);
	assert_int_equal(opened(fd, "", archive_named(), NULL, &err), -1);
	assert_int_equal(opened(fd, AGENT, archive_named(), NULL, &err), 100);
}

static void says_that_nobody_reads(void **state)
{
	struct warden_archive archive = archive_named();
	struct error err = {0};
	uint8_t digest[SEALED_DIGEST];
	uint64_t len;
	int ends[2];

	(void)state;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	close(ends[0]);
	struct sealed_writer *writer = sealed_writer_new(ends[1], AGENT, &archive);
	assert_int_equal(sealed_write(writer, "x", 1, &err), 0);
	assert_int_equal(sealed_finish(writer, digest, &len, &err), -1);
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	sealed_writer_destroy(&writer);
	close(ends[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(gives_back_what_went_in),
	    cmocka_unit_test(refuses_one_that_is_cut_off_anywhere),
	    cmocka_unit_test(refuses_what_follows_the_end),
	    cmocka_unit_test(refuses_a_bit_that_flipped_and_chunks_that_changed_places),
	    cmocka_unit_test(opens_for_what_it_belongs_to_alone),
	    cmocka_unit_test(says_that_nobody_reads),
	};

	signal(SIGPIPE, SIG_IGN);
	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
