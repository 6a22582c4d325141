/* What the store gives back. The first byte chooses what the rest is: a sealed record (as it is; or laid over a good one, bit by bit), a wrapped data key, the key check,
 * derivation parameters, or a value that is to be stored. Nothing opens but what was sealed. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/scoped.h"
#include "common/wire.h"
#include "services/secret-vault/seal.h"
#include "services/secret-vault/value.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#define KEY "rQ0o1yq1uVtW0bq1Yz3mW2o0m8V4t1m5yQ2x7l9zGkA="
#define PLAIN "0123456789"
#define PLAIN_LEN 10

static struct master *master;
static struct secret *data_key;
static struct store_period row = {.period = {"4uQeVj5tqViQh7yWWGStvkEG1Zmhx6uasJtWCJziofM",
				      "CiDwVBFgWV9E5MvXWoLgnEgn2hK7rJikbvfWavzAQz3", 7},
    .since = 7};
static const uint8_t store_id[16] = "0123456789abcde";

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	char path[] = "/tmp/fuzz-seal.XXXXXX";
	struct error err;
	(void)argc;
	(void)argv;
	if (sodium_init() < 0)
		return -1;
	scoped_fd int fd = mkstemp(path);
	if (fd < 0 || write(fd, KEY, strlen(KEY)) != (ssize_t)strlen(KEY))
		return -1;
	master = master_read_file(path, &err);
	unlink(path);
	data_key = data_key_new();
	if (master)
		data_key_wrap(master, data_key, &row);
	return master ? 0 : -1;
}

static void open_record(const uint8_t *bytes, size_t len, enum seal_purpose purpose, bool opens)
{
	const struct seal_name name = {&row.period, "llm", "openai", 3, purpose};
	struct error err = {0};
	scoped_secret struct secret *opened = seal_open(data_key, &name, bytes, len, &err);
	if ((opened != NULL) != opens || (!opened && err.code != ERR_INTERNAL))
		abort();
	if (opened && !secret_equal(opened, PLAIN, PLAIN_LEN))
		abort();
}

/* Bytes are what is changed: opens if that is nothing. */
static void open_changed(const uint8_t *bytes, size_t len)
{
	const struct seal_name name = {&row.period, "llm", "openai", 3, SEAL_VALUE};
	uint8_t sealed[PLAIN_LEN + SEAL_OVERHEAD];
	bool opens = true;
	seal_record(data_key, &name, PLAIN, PLAIN_LEN, sealed);
	for (size_t i = 0; i < len && i < sizeof(sealed); i++) {
		sealed[i] ^= bytes[i];
		opens = opens && bytes[i] == 0;
	}
	open_record(sealed, sizeof(sealed), SEAL_VALUE, opens);
	open_record(sealed, sizeof(sealed), SEAL_PREVIEW, false);
}

static void unwrap(const uint8_t *bytes, size_t len)
{
	struct store_period changed = row;
	struct error err;
	bool same = true;
	changed.wrapped_len = len < WRAPPED_MAX ? len : WRAPPED_MAX;
	for (size_t i = 0; i < changed.wrapped_len; i++) {
		changed.wrapped[i] = row.wrapped[i] ^ bytes[i];
		same = same && bytes[i] == 0;
	}
	same = same && changed.wrapped_len == row.wrapped_len;
	scoped_secret struct secret *key = data_key_unwrap(master, &changed, &err);
	if ((key != NULL) != same)
		abort();
}

static void check_check(const uint8_t *bytes, size_t len)
{
	uint8_t check[SEAL_CHECK_LEN];
	struct error err;
	bool same = true;
	if (seal_check(master, store_id, bytes, len, &err) == 0)
		abort();
	seal_check_make(master, store_id, check);
	for (size_t i = 0; i < len && i < sizeof(check); i++) {
		check[i] ^= bytes[i];
		same = same && bytes[i] == 0;
	}
	if ((seal_check(master, store_id, check, sizeof(check), &err) == 0) != same)
		abort();
}

static void read_kdf(const uint8_t *bytes, size_t len)
{
	uint8_t again[MASTER_KDF_LEN];
	struct master_kdf kdf;
	struct error err;
	if (master_kdf_decode(bytes, len, &kdf, &err) != 0)
		return;
	master_kdf_encode(&kdf, again);
	if (len != MASTER_KDF_LEN || memcmp(again, bytes, len) != 0 || kdf.opslimit > 10 ||
	    kdf.memlimit > UINT64_C(1) << 30 || kdf.memlimit < 19 << 20)
		abort();
}

static void read_value(const uint8_t *bytes, size_t len)
{
	char preview[PREVIEW_MAX + 1];
	struct error err;
	bool is_custom = value_check("custom", bytes, len, &err) == 0;
	if (value_check("llm", bytes, len, &err) == 0 && !is_custom)
		abort();
	if (!is_custom)
		return;
	size_t shown = value_preview(bytes, len, preview);
	if (shown > PREVIEW_MAX || shown * 2 > len || preview[shown] != '\0' ||
	    memcmp(preview, bytes, shown) != 0 || !utf8_is_valid(preview, shown))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	if (size < 1)
		return 0;
	/* of exactly that size, so that a read behind it is seen */
	size_t len = size - 1;
	scoped_free uint8_t *rest = malloc(len + !len);
	memcpy(rest, bytes + 1, len);
	switch (bytes[0] % 6) {
	case 0:
		for (enum seal_purpose purpose = SEAL_VALUE; purpose <= SEAL_TOMBSTONE; purpose++)
			open_record(rest, len, purpose, false);
		break;
	case 1:
		open_changed(rest, len);
		break;
	case 2:
		unwrap(rest, len);
		break;
	case 3:
		check_check(rest, len);
		break;
	case 4:
		read_kdf(rest, len);
		break;
	default:
		read_value(rest, len);
	}
	return 0;
}
