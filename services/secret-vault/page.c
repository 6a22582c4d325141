#include "services/secret-vault/page.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/scoped.h"
#include "services/secret-vault/channels.h"
#include "services/secret-vault/llm.h"

#define FILE_MODE 0400
#define GATEWAY_TOKEN_LEN 32
#define HOT_WALLET_MAX 260 /* "[255,...,255]\n" */

struct names {
	size_t len;
	bool overflown;
	struct file_name item[VAULT_SECRETS_MAX];
};
struct page {
	struct asking *asking;
	struct desk *desk;
	const struct open_period *period;
	struct vault_materialise_rsp *rsp;
	size_t nfiles; /* of this page that are secrets, for the audit entry */
	bool is_full;
};

/* Where the bytes of the next file go. */
static uint8_t *room(struct page *page, size_t *size_r)
{
	*size_r = sizeof(page->rsp->bytes.data) - page->rsp->bytes.len;
	return page->rsp->bytes.data + page->rsp->bytes.len;
}

/* Its bytes are in place already. */
static void add_file(struct page *page, const char *path, size_t len)
{
	struct vault_materialise_rsp *rsp = page->rsp;
	struct files_item *file = &rsp->files.item[rsp->files.len++];
	snprintf(file->path, sizeof(file->path), "%s", path);
	file->mode = FILE_MODE;
	file->size = len;
	rsp->bytes.len += len;
}

static int note_release(
    struct page *page, const char *kind, const char *name, uint64_t version, struct error *err)
{
	const struct vault_materialise_req *req = page->asking->req;
	char detail[160 + 1];
	snprintf(detail, sizeof(detail), "boot %s", req->boot_id);
	const struct audit_note note = {.act = "release",
	    .by = page->asking->by,
	    .kind = kind,
	    .name = name,
	    .version = version,
	    .detail = detail};
	page->nfiles++;
	return records_audit(page->desk, &page->period->row.period, &note, err);
}

static size_t write_keypair(const struct secret *keypair, uint8_t *bytes_r)
{
	const uint8_t *key = secret_bytes(keypair);
	size_t at = 0;
	bytes_r[at++] = '[';
	for (size_t i = 0; i < secret_len(keypair); i++) {
		if (i > 0)
			bytes_r[at++] = ',';
		if (key[i] >= 100)
			bytes_r[at++] = (uint8_t)('0' + key[i] / 100);
		if (key[i] >= 10)
			bytes_r[at++] = (uint8_t)('0' + key[i] / 10 % 10);
		bytes_r[at++] = (uint8_t)('0' + key[i] % 10);
	}
	bytes_r[at++] = ']';
	bytes_r[at++] = '\n';
	return at;
}

/* False: the page is full. */
static bool add_value(
    struct page *page, const char *path, bool is_keypair, const struct secret *value)
{
	size_t size;
	uint8_t *at = room(page, &size);
	size_t most = is_keypair ? HOT_WALLET_MAX : secret_len(value);
	if (most > size || page->rsp->files.len == PAGE_FILES_MAX)
		return false;
	if (is_keypair) {
		add_file(page, path, write_keypair(value, at));
	} else {
		memcpy(at, secret_bytes(value), secret_len(value));
		add_file(page, path, secret_len(value));
	}
	return true;
}

static int add_record(struct page *page, const struct file_name *name, struct error *err)
{
	struct record record = {0};
	char path[FILE_PATH_MAX + 1];
	if (!file_name_path(page->asking->vault->providers, name, path))
		return 0;
	bool is_keypair = strcmp(name->kind, "wallet") == 0;
	if (records_read(page->desk, page->period, name->kind, name->name, &record, err) != 0)
		return -1;
	scoped_secret struct secret *value = record.value;
	if (record.found != RECORD_SET)
		return 0;
	if (is_keypair && secret_len(value) != crypto_sign_SECRETKEYBYTES)
		return error_refuse(
		    err, ERR_INTERNAL, "secret_undecryptable", "the hot wallet is no keypair");
	if (!add_value(page, path, is_keypair, value)) {
		page->is_full = true;
		return 0;
	}
	return note_release(page, name->kind, name->name, record.version, err);
}

static int write_channels(
    struct page *page, const struct secret *const token[CHANNELS_TOKENS], struct error *err)
{
	size_t size;
	uint8_t *at = room(page, &size);
	size_t len =
	    channels_write(token, at, size < VAULT_VALUE_MAX ? size : (size_t)VAULT_VALUE_MAX);
	if (len == 0)
		return error_set(err, ERR_INTERNAL, "bot tokens that fit into no configuration");
	add_file(page, FILE_CHANNELS, len);
	return 0;
}

static int read_tokens(
    struct page *page, struct record record_r[CHANNELS_TOKENS], struct error *err)
{
	for (size_t i = 0; i < CHANNELS_TOKENS; i++) {
		const char *name = channels_token_name(i);
		if (records_read(page->desk, page->period, "bot", name, &record_r[i], err) != 0 ||
		    (record_r[i].found == RECORD_SET &&
			note_release(page, "bot", name, record_r[i].version, err) != 0))
			return -1;
	}
	return 0;
}

static int add_channels(struct page *page, struct error *err)
{
	struct record record[CHANNELS_TOKENS] = {0};
	const struct secret *token[CHANNELS_TOKENS] = {0};
	int status = page->period ? read_tokens(page, record, err) : 0;
	for (size_t i = 0; i < CHANNELS_TOKENS; i++)
		token[i] = record[i].value;
	if (status == 0)
		status = write_channels(page, token, err);
	for (size_t i = 0; i < CHANNELS_TOKENS; i++)
		secret_destroy(&record[i].value);
	return status;
}

/* Of this boot; kept nowhere here. */
static void add_gateway_token(struct page *page)
{
	uint8_t token[GATEWAY_TOKEN_LEN];
	char text[2 * GATEWAY_TOKEN_LEN + 1];
	size_t size;
	randombytes_buf(token, sizeof(token));
	sodium_bin2hex(text, sizeof(text), token, sizeof(token));
	memcpy(room(page, &size), text, 2 * GATEWAY_TOKEN_LEN);
	add_file(page, FILE_GATEWAY_TOKEN, 2 * GATEWAY_TOKEN_LEN);
	sodium_memzero(token, sizeof(token));
	sodium_memzero(text, sizeof(text));
}

static void collect(void *arg, const struct record_shown *shown)
{
	struct names *names = arg;
	if (names->len == VAULT_SECRETS_MAX) {
		names->overflown = true;
		return;
	}
	struct file_name *name = &names->item[names->len++];
	memcpy(name->kind, shown->kind, sizeof(name->kind));
	memcpy(name->name, shown->name, sizeof(name->name));
}

/* The whole list is read for each page: it is how a record that is missing from the store is noticed. */
static int add_records(struct page *page, struct error *err)
{
	const struct file_name *after = page->asking->extra;
	scoped_free struct names *names = calloc(1, sizeof(*names));
	bug_if(!names);
	if (records_list(page->desk, page->period, collect, names, err) != 0)
		return -1;
	if (names->overflown)
		return error_set(
		    err, ERR_INTERNAL, "more than %d secrets of one period", VAULT_SECRETS_MAX);
	qsort(names->item, names->len, sizeof(names->item[0]), file_name_compare);
	for (size_t i = 0; i < names->len && !page->is_full; i++)
		if (file_name_compare(&names->item[i], after) > 0 &&
		    add_record(page, &names->item[i], err) != 0)
			return -1;
	return 0;
}

static int note_page(struct page *page, struct error *err)
{
	const struct vault_materialise_req *req = page->asking->req;
	char detail[160 + 1];
	snprintf(detail, sizeof(detail), "boot %s page %u: %zu secrets", req->boot_id,
	    (unsigned)req->page, page->nfiles);
	const struct audit_note note = {
	    .act = "materialise", .by = page->asking->by, .detail = detail};
	return records_audit(page->desk, &page->period->row.period, &note, err);
}

static int fill_first(struct page *page, struct error *err)
{
	struct vault_materialise_rsp *rsp = page->rsp;
	if (add_channels(page, err) != 0)
		return -1;
	add_gateway_token(page);
	return llm_resolve(page->asking->vault, page->desk, page->period, rsp->providers.item,
	    &rsp->providers.len, err);
}

int page_work(struct asking *asking, struct desk *desk, struct error *err)
{
	const struct vault_materialise_req *req = asking->req;
	struct vault_materialise_rsp *rsp = asking->rsp;
	scoped_open_period struct open_period period = {0};
	int found = records_open_period(desk, &asking->holding, &period, err);
	if (found < 0)
		return -1;
	struct page page = {
	    .asking = asking, .desk = desk, .period = found ? &period : NULL, .rsp = rsp};
	memcpy(rsp->asset, asking->holding.asset, sizeof(rsp->asset));
	memcpy(rsp->wallet, asking->holding.wallet, sizeof(rsp->wallet));
	rsp->slot = asking->holding.slot;
	if (req->page == 0 && fill_first(&page, err) != 0)
		return -1;
	if (!page.period)
		return 0;
	if (add_records(&page, err) != 0)
		return -1;
	if (page.is_full)
		rsp->next = req->page + 1;
	return note_page(&page, err);
}
