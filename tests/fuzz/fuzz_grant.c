/* What a host shows at a start. The first byte chooses what the rest is: a grant or placement (as it is; or laid over a good one, bit by bit), the texts that go with it, or the path
 * that a page goes on after. No grant opens but one that was made, for its own start and host; what a path stands for has that path. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zmq.h>

#include "common/scoped.h"
#include "services/secret-vault/file_name.h"
#include "services/secret-vault/grant.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#define BOOT "000102030405060708090a0b0c0d0e0f"
#define HOST "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"
#define EXPIRES 1000000
#define PROVIDERS \
	"{\"providers\":[{\"name\":\"openai\",\"env\":[\"OPENAI_API_KEY\",\"OPENAI_KEY\"]}," \
	"{\"name\":\"x\",\"env\":[\"X\"]}]}"

static struct secret *key;
static struct providers *providers;
static uint8_t good[GRANT_LEN], placed[PLACEMENT_LEN];

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const struct holding holding = {
	    .asset = "4uQeVj5tqViQh7yWWGStvkEG1Zmhx6uasJtWCJziofM",
	    .wallet = "CiDwVBFgWV9E5MvXWoLgnEgn2hK7rJikbvfWavzAQz3",
	    .slot = 7};
	struct grant grant;
	struct placement placement;
	struct error err;
	(void)argc;
	(void)argv;
	if (sodium_init() < 0)
		return -1;
	key = secret_new("0123456789abcdef0123456789abcdef", 32);
	providers = providers_parse(PROVIDERS, strlen(PROVIDERS), &err);
	if (!key || !providers || grant_fill(&grant, &holding, BOOT, HOST, EXPIRES, &err) != 0)
		return -1;
	grant_sign(key, &grant, good);
	if (placement_fill(&placement, &holding, HOST, &err) != 0)
		return -1;
	placement_sign(key, &placement, PLACEMENT_HOST, placed);
	return 0;
}

static void open_raw(const uint8_t *bytes, size_t len)
{
	struct grant grant;
	struct placement placement;
	if (grant_open(key, bytes, len, &grant) ||
	    placement_open(key, bytes, len, PLACEMENT_HOST, &placement))
		abort();
}

static bool lay_over(uint8_t *changed, size_t size, const uint8_t *bytes, size_t len)
{
	bool same = true;
	for (size_t i = 0; i < len && i < size; i++) {
		changed[i] ^= bytes[i];
		same = same && bytes[i] == 0;
	}
	return same;
}

/* Bytes are what is changed: opens if that is nothing. */
static void open_changed(const uint8_t *bytes, size_t len)
{
	uint8_t changed[GRANT_LEN];
	struct grant grant;
	struct placement placement;
	memcpy(changed, good, sizeof(changed));
	bool same = lay_over(changed, sizeof(changed), bytes, len);
	if (grant_open(key, changed, sizeof(changed), &grant) != same ||
	    placement_open(key, changed, sizeof(changed), PLACEMENT_HOST, &placement))
		abort();
	memcpy(changed, placed, sizeof(placed));
	same = lay_over(changed, sizeof(placed), bytes, len);
	if (placement_open(key, changed, sizeof(placed), PLACEMENT_HOST, &placement) != same ||
	    grant_open(key, changed, sizeof(placed), &grant) ||
	    grant_open(key, changed, sizeof(changed), &grant))
		abort();
}

/* text: a boot id, a line end, a host's key. Accepted only if it is the one that was granted, whatever the case of its hex. */
static void judge(char *text)
{
	char *host = strchr(text, '\n'), encoded[40 + 1];
	struct grant grant, shown;
	struct error err = {0};
	static const struct holding nobody = {.asset = "11111111111111111111111111111111",
	    .wallet = "11111111111111111111111111111111"};
	if (!host)
		return;
	*host++ = '\0';
	if (!grant_open(key, good, sizeof(good), &grant))
		abort();
	bool fits = grant_fill(&shown, &nobody, text, host, EXPIRES, &err) == 0;
	if (fits != (grant_check(text, host, &err) == 0))
		abort();
	if (fits && strcmp(zmq_z85_encode(encoded, shown.host_key, GRANT_HOST_LEN), host) != 0)
		abort();
	bool is_meant = strcasecmp(text, BOOT) == 0 && strcmp(host, HOST) == 0;
	if ((grant_judge(&grant, text, host, EXPIRES - 1, &err) == 0) != is_meant ||
	    grant_judge(&grant, text, host, EXPIRES, &err) == 0)
		abort();
}

static void read_path(const char *path)
{
	char back[FILE_PATH_MAX + 1];
	struct file_name name, again;
	struct error err = {0};
	if (file_name_parse(providers, path, &name, &err) != 0) {
		if (err.code != ERR_INVALID || strcmp(err.reason, "page_invalid") != 0)
			abort();
		return;
	}
	if (strlen(name.kind) >= sizeof(name.kind) || strlen(name.name) >= sizeof(name.name))
		abort();
	if (!name.kind[0]) {
		if (strcmp(path, FILE_CHANNELS) != 0 && strcmp(path, FILE_GATEWAY_TOKEN) != 0)
			abort();
		return;
	}
	/* the tokens that are in the channels' configuration have no path */
	if (!file_name_path(providers, &name, back))
		return;
	if (strcmp(back, path) != 0 || file_name_parse(providers, back, &again, &err) != 0 ||
	    file_name_compare(&name, &again) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	if (size < 1)
		return 0;
	/* of exactly that size, so that a read behind it is seen */
	size_t len = size - 1;
	scoped_free uint8_t *rest = malloc(len + !len);
	scoped_free char *text = strndup((const char *)bytes + 1, len);
	memcpy(rest, bytes + 1, len);
	switch (bytes[0] % 4) {
	case 0:
		open_raw(rest, len);
		break;
	case 1:
		open_changed(rest, len);
		break;
	case 2:
		judge(text);
		break;
	default:
		read_path(text);
	}
	return 0;
}
