/* The scan by its own interface: streams in pieces of any size, bounds, what is malformed. What is found in which form and place is tests/integration/test_scan.py's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <lzma.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#include "common/scoped.h"
#include "proto/warden.h"
#include "services/packer/scan_internal.h"

#define VALUE "sk-test-Jq7Vw2Lx9Tn4Rb6Kd1Ys8Hp3"

static int memfd_of(const void *bytes, size_t len)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), len);
	return fd;
}

static void put_file(int fd, const char *path, const char *value)
{
	struct warden_file head = {
	    .size = (uint32_t)strlen(value), .mode = 0400, .path_len = (uint16_t)strlen(path)};

	assert_int_equal(write(fd, &head, sizeof(head)), sizeof(head));
	assert_int_equal(write(fd, path, strlen(path)), strlen(path));
	assert_int_equal(write(fd, value, strlen(value)), strlen(value));
}

static struct scanner *scanner_of(const char *value)
{
	struct error err = {0};
	scoped_fd int fd = memfd_of("", 0);

	put_file(fd, "custom/egress-hosts", "api.openai.example");
	put_file(fd, "llm/KEY", value);
	struct scanner *scanner = scanner_new(fd, &err);
	assert_non_null(scanner);
	return scanner;
}

static bool is_clean(
    struct scanner *scanner, const void *bytes, size_t len, char what_r[SCAN_WHAT_MAX])
{
	scoped_fd int fd = memfd_of(bytes, len);

	return scan_file(scanner, fd, "name", what_r);
}

/* In pieces of one size; the last one is what remains. */
static bool finds_in_pieces(struct scanner *scanner, const uint8_t *bytes, size_t len, size_t piece)
{
	struct scan *scan = scan_begin(scanner);
	char what[SCAN_WHAT_MAX];

	for (size_t at = 0; at < len; at += piece)
		if (!scan_bytes(scan, bytes + at, len - at < piece ? len - at : piece, what))
			break;
	return !scan_end(&scan, what) && !strstr(what, "Jq7V");
}

static size_t deflate_all(const uint8_t *bytes, size_t len, uint8_t *to, size_t size)
{
	z_stream z = {0};
	union {
		const uint8_t *from;
		Bytef *to;
	} next = {.from = bytes};

	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 31, 9, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_in = next.to;
	z.avail_in = (uInt)len;
	z.next_out = to;
	z.avail_out = (uInt)size;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	deflateEnd(&z);
	return z.total_out;
}

static void finds_it_in_pieces_of_any_size(void **state)
{
	struct scanner *scanner = scanner_of(VALUE "\n");
	uint8_t text[1000], packed[2000], wrapped[2000];
	char base64[2000];
	size_t n = 0;

	(void)state;
	randombytes_buf(text, sizeof(text));
	memcpy(text + 500, VALUE, sizeof(VALUE)); /* the NUL does no harm */
	size_t len = deflate_all(text, sizeof(text), packed, sizeof(packed));
	sodium_bin2base64(
	    base64, sizeof(base64), text, sizeof(text), sodium_base64_VARIANT_ORIGINAL);
	for (size_t i = 0; base64[i]; i++) {
		if (i > 0 && i % 76 == 0)
			wrapped[n++] = '\n';
		wrapped[n++] = (uint8_t)base64[i];
	}
	for (size_t piece = 1; piece < 200; piece++) {
		assert_true(finds_in_pieces(scanner, text, sizeof(text), piece));
		assert_true(finds_in_pieces(scanner, packed, len, piece));
		assert_true(finds_in_pieces(scanner, wrapped, n, piece));
	}
	scanner_destroy(&scanner);
	assert_null(scanner);
}

static void names_secret_and_form_never_the_value(void **state)
{
	struct scanner *scanner = scanner_of(VALUE);
	char what[SCAN_WHAT_MAX], hex[100];

	(void)state;
	assert_false(is_clean(scanner, VALUE, strlen(VALUE), what));
	assert_string_equal(what, "llm/KEY: as it is");
	sodium_bin2hex(hex, sizeof(hex), (const uint8_t *)VALUE, strlen(VALUE));
	assert_false(is_clean(scanner, hex, strlen(hex), what));
	assert_string_equal(what, "llm/KEY: hex");
	assert_true(is_clean(scanner, "api.openai.example", 18, what));
	scanner_destroy(&scanner);
}

static void finds_it_in_the_name_and_says_so(void **state)
{
	struct scanner *scanner = scanner_of(VALUE);
	scoped_fd int fd = memfd_of("x", 1);
	char what[SCAN_WHAT_MAX];

	(void)state;
	assert_false(scan_file(scanner, fd, "workspace/" VALUE ".txt", what));
	assert_true(scan_is_in_name(what));
	assert_null(strstr(what, "Jq7V"));
	assert_false(scan_is_in_name("llm/KEY: hex"));
	scanner_destroy(&scanner);
}

static void refuses_what_unfolds_without_end(void **state)
{
	static uint8_t zeros[8 << 20], packed[64 << 10], twice[64 << 10];
	struct scanner *scanner = scanner_of(VALUE);
	char what[SCAN_WHAT_MAX];

	(void)state;
	size_t len = deflate_all(zeros, sizeof(zeros), packed, sizeof(packed));
	assert_true(is_clean(scanner, packed, len, what));
	scanner->budget.file_bytes = 1 << 20;
	scanner->work = 0;
	assert_false(is_clean(scanner, packed, len, what));
	assert_string_equal(what, "cannot be looked into: too large when unpacked");
	len = deflate_all(packed, len, twice, sizeof(twice));
	assert_false(is_clean(scanner, twice, len, what));
	/* many small ones count together */
	scanner->budget.file_bytes = 1 << 30;
	scanner->budget.all_bytes = 20 << 20;
	scanner->work = scanner->bytes = 0;
	assert_true(is_clean(scanner, twice, len, what));
	assert_true(is_clean(scanner, twice, len, what));
	assert_false(is_clean(scanner, twice, len, what));
	scanner_destroy(&scanner);
}

static void refuses_what_takes_too_much_memory(void **state)
{
	struct scanner *scanner = scanner_of(VALUE);
	lzma_options_lzma options;
	uint8_t packed[1024];
	char what[SCAN_WHAT_MAX];
	size_t len = 0;

	(void)state;
	assert_false(lzma_lzma_preset(&options, 1));
	options.dict_size = 1 << 30;
	/* only the header says so: nothing of that size is made here */
	lzma_filter filters[] = {{LZMA_FILTER_LZMA2, &options}, {LZMA_VLI_UNKNOWN, NULL}};
	lzma_block block = {.version = 0,
	    .check = LZMA_CHECK_CRC32,
	    .filters = filters,
	    .compressed_size = LZMA_VLI_UNKNOWN,
	    .uncompressed_size = LZMA_VLI_UNKNOWN};
	lzma_stream_flags flags = {.version = 0, .check = LZMA_CHECK_CRC32};
	assert_int_equal(lzma_stream_header_encode(&flags, packed), LZMA_OK);
	assert_int_equal(lzma_block_header_size(&block), LZMA_OK);
	assert_int_equal(
	    lzma_block_header_encode(&block, packed + LZMA_STREAM_HEADER_SIZE), LZMA_OK);
	len = LZMA_STREAM_HEADER_SIZE + block.header_size + 64;
	assert_false(is_clean(scanner, packed, len, what));
	assert_string_equal(what, "cannot be looked into: takes too much memory to unpack");
	/* within another file it may be anything */
	memmove(packed + 1, packed, len);
	assert_true(is_clean(scanner, packed, len + 1, what));
	scanner_destroy(&scanner);
}

static void has_nothing_to_look_for_without_secrets(void **state)
{
	struct error err = {0};
	scoped_fd int none = memfd_of("", 0);
	struct scanner *scanner = scanner_new(none, &err);
	char what[SCAN_WHAT_MAX];

	(void)state;
	assert_non_null(scanner);
	assert_int_equal(scanner_patterns(scanner), 0);
	assert_true(is_clean(scanner, VALUE, strlen(VALUE), what));
	assert_true(!finds_in_pieces(scanner, (const uint8_t *)VALUE, strlen(VALUE), 5));
	scanner_destroy(&scanner);
}

static void refuses_malformed_secrets(void **state)
{
	static const struct warden_file heads[] = {
	    {100, 0400, 4}, {1, 0400, 0}, {0, 0400, 5000}, {UINT32_MAX, 0400, UINT16_MAX}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
		uint8_t bytes[sizeof(struct warden_file) + 20] = {0};
		struct error err = {0};

		memcpy(bytes, &heads[i], sizeof(heads[i]));
		scoped_fd int fd = memfd_of(bytes, sizeof(bytes));
		assert_null(scanner_new(fd, &err));
		assert_int_equal(err.code, ERR_INVALID);
	}
	scoped_fd int cut = memfd_of("abc", 3);
	struct error err = {0};
	assert_null(scanner_new(cut, &err));
	assert_null(scanner_new(-1, &err));
	assert_int_equal(err.code, ERR_UNAVAILABLE);
}

static void leaves_out_what_is_everywhere(void **state)
{
	static const char *const values[] = {"short", "aaaaaaaaaaaaaaaa", "abababababab",
	    "12345678", "abcdefghij", "password", "Anthropic", "20251129", "eu-central",
	    "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		struct scanner *scanner = scanner_of(values[i]);
		char what[SCAN_WHAT_MAX];

		assert_true(is_clean(scanner, values[i], strlen(values[i]), what));
		scanner_destroy(&scanner);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(finds_it_in_pieces_of_any_size),
	    cmocka_unit_test(names_secret_and_form_never_the_value),
	    cmocka_unit_test(finds_it_in_the_name_and_says_so),
	    cmocka_unit_test(refuses_what_unfolds_without_end),
	    cmocka_unit_test(refuses_what_takes_too_much_memory),
	    cmocka_unit_test(has_nothing_to_look_for_without_secrets),
	    cmocka_unit_test(refuses_malformed_secrets),
	    cmocka_unit_test(leaves_out_what_is_everywhere),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
