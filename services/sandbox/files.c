#include "services/sandbox/files.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/scoped.h"
#include "proto/warden.h"
#include "services/sandbox/llm.h"
#include "services/sandbox/openclaw.h"
#include "services/sandbox/roots.h"

#define CHANNELS "channels.json"
#define TOKEN "gateway-token"
#define HOSTS "custom/egress-hosts"
#define WORKERS "custom/allow-service-workers"
#define EXCLUDED "custom/snapshot-exclude"

struct files {
	int fd;
	size_t len;
	char last[128 + 1];
	struct secret *channels, *excluded;
	struct egress egress;
	bool allows_workers;
	size_t noffered;
	char offered[PROVIDERS_MAX][64 + 1]; /* providers that have a key at the gateway */
};

struct files *files_new(void)
{
	struct files *files = calloc(1, sizeof(*files));
	bug_if(!files);
	files->fd = memfd_create("secrets", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	bug_if(files->fd < 0);
	return files;
}

void files_destroy(struct files **files)
{
	struct files *f = *files;
	if (!f)
		return;
	*files = NULL;
	secret_destroy(&f->channels);
	secret_destroy(&f->excluded);
	close(f->fd);
	sodium_memzero(f, sizeof(*f));
	free(f);
}

static int put(struct files *files, const void *bytes, size_t len, struct error *err)
{
	const uint8_t *at = bytes;
	files->len += len;
	if (files->len > FILES_BYTES_MAX)
		return error_refuse(err, ERR_INVALID, "secrets_too_large",
		    "more than %u bytes of secrets", FILES_BYTES_MAX);
	while (len > 0) {
		ssize_t n = write(files->fd, at, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return error_refuse(
			    err, ERR_UNAVAILABLE, "host_failing", "secrets: %s", strerror(errno));
		at += n, len -= (size_t)n;
	}
	return 0;
}

static int put_file(struct files *files, const char *path, unsigned mode, const uint8_t *bytes,
    size_t size, struct error *err)
{
	const struct warden_file head = {
	    .size = (uint32_t)size, .mode = (uint16_t)mode, .path_len = (uint16_t)strlen(path)};
	if (put(files, &head, sizeof(head), err) != 0 || put(files, path, strlen(path), err) != 0)
		return -1;
	return put(files, bytes, size, err);
}

/* The one word, perhaps with the end of its line. Anything else allows nothing. */
static bool is_yes(const uint8_t *bytes, size_t size)
{
	size -= size == 4 && bytes[3] == '\n';
	return size == 3 && memcmp(bytes, "yes", 3) == 0;
}

static int add(
    struct files *files, const struct files_item *item, const uint8_t *bytes, struct error *err)
{
	memcpy(files->last, item->path, sizeof(files->last));
	if (strcmp(item->path, TOKEN) == 0)
		return 0;
	if (strcmp(item->path, HOSTS) == 0 &&
	    egress_parse(&files->egress, bytes, item->size, err) != 0)
		return -1;
	if (strcmp(item->path, WORKERS) == 0)
		files->allows_workers = is_yes(bytes, item->size);
	if (strcmp(item->path, EXCLUDED) == 0 && item->size > 0) {
		secret_destroy(&files->excluded);
		files->excluded = secret_new(bytes, item->size);
	}
	if (strcmp(item->path, CHANNELS) == 0 && item->size > 0) {
		secret_destroy(&files->channels);
		files->channels = secret_new(bytes, item->size);
	}
	return put_file(files, item->path, (unsigned)item->mode & 0400, bytes, item->size, err);
}

static void take_offered(struct files *files, const struct vault_materialise_rsp *page)
{
	for (size_t i = 0; i < page->providers.len && files->noffered < PROVIDERS_MAX; i++) {
		const struct providers_item *item = &page->providers.item[i];
		if (strcmp(item->delivery, "gateway") == 0)
			memcpy(files->offered[files->noffered++], item->provider,
			    sizeof(item->provider));
	}
}

int files_add_page(struct files *files, const struct vault_materialise_rsp *page, struct error *err)
{
	size_t at = 0;
	take_offered(files, page);
	for (size_t i = 0; i < page->files.len; i++) {
		const struct files_item *item = &page->files.item[i];
		if (item->size > page->bytes.len - at)
			return error_refuse(
			    err, ERR_INTERNAL, "answer_malformed", "the vault's page is short");
		if (add(files, item, page->bytes.data + at, err) != 0)
			return -1;
		at += item->size;
	}
	if (at != page->bytes.len)
		return error_refuse(
		    err, ERR_INTERNAL, "answer_malformed", "the vault's page is long");
	return 0;
}

static int put_llm_file(void *arg, const char *path, const char *text, struct error *err)
{
	return put_file(arg, path, 0400, (const uint8_t *)text, strlen(text), err);
}

static int put_openclaw(struct files *files, const struct files_own *own,
    const struct llm_offer *llm, struct error *err)
{
	scoped_json json_t *providers = llm_openclaw(llm);
	scoped_secret struct secret *text =
	    openclaw_write(own->token, own->origin, files->channels, providers, err);
	if (!text)
		return -1;
	return put_file(files, "openclaw.json", 0400, secret_bytes(text), secret_len(text), err);
}

static int put_own(struct files *files, const struct files_own *own, struct error *err)
{
	const struct llm_offer llm = {.providers = own->providers,
	    .token = own->llm_token,
	    .address = own->llm_address,
	    .noffered = own->is_search || !own->providers ? 0 : files->noffered,
	    .offered = (const char(*)[64 + 1]) files->offered};
	if (put_file(files, TOKEN, 0400, (const uint8_t *)own->token, strlen(own->token), err) != 0)
		return -1;
	if (own->is_search && own->providers &&
	    (put_llm_file(files, "llm-token", own->llm_token, err) != 0 ||
		llm_write_known(own->providers, put_llm_file, files, err) != 0))
		return -1;
	if (llm_write(&llm, put_llm_file, files, err) != 0)
		return -1;
	return own->is_openclaw ? put_openclaw(files, own, &llm, err) : 0;
}

int files_finish(struct files *files, const struct files_own *own, int *fd_r, struct error *err)
{
	if (put_own(files, own, err) != 0)
		return -1;
	if (fcntl(files->fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW) != 0 ||
	    lseek(files->fd, 0, SEEK_SET) != 0)
		return error_refuse(
		    err, ERR_UNAVAILABLE, "host_failing", "secrets: %s", strerror(errno));
	*fd_r = files->fd;
	return 0;
}

int files_fd(const struct files *files)
{
	return files->fd;
}

const char *files_last(const struct files *files)
{
	return files->last;
}

const struct egress *files_egress(const struct files *files)
{
	return &files->egress;
}

int files_excluded(const struct files *files, char *excluded_r, struct error *err)
{
	unsigned line;
	memset(excluded_r, 0, WARDEN_ROOTS_BYTES);
	if (!files->excluded || roots_parse((const char *)secret_bytes(files->excluded),
				    secret_len(files->excluded), "\n", excluded_r, &line))
		return 0;
	return error_refuse(err, ERR_INVALID, "exclude_invalid",
	    EXCLUDED ", line %u: not a path below /data, or one too many", line);
}

bool files_allows_workers(const struct files *files)
{
	return files->allows_workers;
}

struct secret *boot_token(
    enum boot_token which, const uint8_t *placement, size_t len, const char *boot)
{
	static const char *const labels[] = {
	    "multiclaw gateway token v1", "multiclaw llm token v1"};
	const char *label = labels[which];
	uint8_t key[32], made[BOOT_TOKEN_LEN / 2];
	char text[BOOT_TOKEN_LEN + 1];
	crypto_generichash(
	    key, sizeof(key), placement, len, (const uint8_t *)label, strlen(label) + 1);
	crypto_generichash(
	    made, sizeof(made), (const uint8_t *)boot, strlen(boot), key, sizeof(key));
	sodium_bin2hex(text, sizeof(text), made, sizeof(made));
	struct secret *token = secret_new(text, BOOT_TOKEN_LEN);
	sodium_memzero(key, sizeof(key));
	sodium_memzero(made, sizeof(made));
	sodium_memzero(text, sizeof(text));
	return token;
}
