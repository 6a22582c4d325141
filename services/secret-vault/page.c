#include "services/secret-vault/page.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "common/scoped.h"
#include "services/secret-vault/channels.h"
#include "services/secret-vault/grant.h"
#include "services/secret-vault/handover.h"
#include "services/secret-vault/llm.h"
#include "services/secret-vault/seal.h"
#include "services/secret-vault/snapshot.h"

#define FILE_MODE 0400
#define GATEWAY_TOKEN_LEN 32
#define HOT_WALLET_MAX 260 /* "[255,...,255]\n" */

#define NOTES_MAX (PAGE_FILES_MAX + CHANNELS_TOKENS + 2)

struct page {
	struct asking *asking;
	struct desk *desk;
	const struct record_list *list; /* of the period; NULL: it is gone since the first page */
	struct vault_materialise_rsp *rsp;
	bool is_full;

	/* The audit entries: one for what was handed over, one for each secret, the last for the page. */
	char detail[160 + 1], handed_detail[160 + 1];
	struct audit_note notes[NOTES_MAX];
	size_t nnotes;
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

static void note_release(struct page *page, const struct record_shown *item)
{
	bug_if(page->nnotes == NOTES_MAX);
	page->notes[page->nnotes++] = (struct audit_note){.act = "release",
	    .by = page->asking->by,
	    .kind = item->kind,
	    .name = item->name,
	    .version = item->version,
	    .detail = page->detail};
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

static int add_record(
    struct page *page, const struct record_shown *item, const char *path, struct error *err)
{
	bool is_keypair = strcmp(item->kind, "wallet") == 0;
	scoped_secret struct secret *value = records_read_listed(page->desk, page->list, item, err);
	if (!value)
		return -1;
	if (is_keypair && secret_len(value) != crypto_sign_SECRETKEYBYTES)
		return error_refuse(
		    err, ERR_INTERNAL, "secret_undecryptable", "the hot wallet is no keypair");
	if (add_value(page, path, is_keypair, value))
		note_release(page, item);
	else
		page->is_full = true;
	return 0;
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
    struct page *page, struct secret *token_r[CHANNELS_TOKENS], struct error *err)
{
	for (size_t i = 0; i < CHANNELS_TOKENS; i++) {
		const struct record_shown *item =
		    record_list_find(page->list, "bot", channels_token_name(i));
		if (!item || item->deleted)
			continue;
		token_r[i] = records_read_listed(page->desk, page->list, item, err);
		if (!token_r[i])
			return -1;
		note_release(page, item);
	}
	return 0;
}

static int add_channels(struct page *page, struct error *err)
{
	struct secret *token[CHANNELS_TOKENS] = {0};
	int status = page->list ? read_tokens(page, token, err) : 0;
	if (status == 0)
		status = write_channels(page, (const struct secret *const *)token, err);
	for (size_t i = 0; i < CHANNELS_TOKENS; i++)
		secret_destroy(&token[i]);
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

/* A key of a provider is the gateway's, unless its owner wants it in the container. */
static bool is_file(const struct record_shown *item)
{
	return !item->deleted && (strcmp(item->kind, "llm") != 0 || item->is_as_file);
}

static int add_records(struct page *page, struct error *err)
{
	const struct record_list *list = page->list;
	const struct file_name *after = page->asking->extra;
	for (size_t i = 0; i < list->len && !page->is_full; i++) {
		const struct record_shown *item = &list->item[i];
		struct file_name name;
		char path[FILE_PATH_MAX + 1];
		memcpy(name.kind, item->kind, sizeof(name.kind));
		memcpy(name.name, item->name, sizeof(name.name));
		if (is_file(item) && file_name_compare(&name, after) > 0 &&
		    file_name_path(page->asking->vault->providers, &name, path) &&
		    add_record(page, item, path, err) != 0)
			return -1;
	}
	return 0;
}

static int note_all(struct page *page, struct error *err)
{
	const struct vault_materialise_req *req = page->asking->req;
	char detail[160 + 1];
	size_t nsecrets = page->nnotes - (page->rsp->handed_key.len > 0);
	snprintf(detail, sizeof(detail), "boot %s page %u: %zu secrets", req->boot_id,
	    (unsigned)req->page, nsecrets);
	page->notes[page->nnotes++] =
	    (struct audit_note){.act = "materialise", .by = page->asking->by, .detail = detail};
	return records_audit_all(
	    page->desk, &page->list->period->row.period, page->notes, page->nnotes, err);
}

static void give_handed(struct page *page, const struct handed *handed)
{
	struct vault_materialise_rsp *rsp = page->rsp;
	char start[2 * 8 + 1];
	rsp->handed_key.len = HANDOVER_KEY_LEN;
	memcpy(rsp->handed_key.data, handed->key, HANDOVER_KEY_LEN);
	rsp->handed_digest.len = HANDOVER_DIGEST_LEN;
	memcpy(rsp->handed_digest.data, handed->digest, HANDOVER_DIGEST_LEN);
	memcpy(rsp->handed_wallet, handed->from.wallet, sizeof(rsp->handed_wallet));
	snprintf(page->handed_detail, sizeof(page->handed_detail), "from %s/%llu digest %s",
	    handed->from.wallet, (unsigned long long)handed->from.slot,
	    sodium_bin2hex(start, sizeof(start), handed->digest, 8));
	page->notes[page->nnotes++] = (struct audit_note){
	    .act = "handed", .by = page->asking->by, .detail = page->handed_detail};
}

static int add_handed(struct page *page, struct error *err)
{
	struct handed handed;
	int found = handover_read(page->desk, &page->list->period->row.period, &handed, err);
	if (found > 0)
		give_handed(page, &handed);
	sodium_memzero(&handed, sizeof(handed));
	return found < 0 ? -1 : 0;
}

/* Which snapshot the start has to find, and what opens it. */
static int add_snapshot(struct page *page, struct error *err)
{
	struct vault_materialise_rsp *rsp = page->rsp;
	const struct open_period *period = page->list->period;
	struct snapshot newest;
	if (snapshot_read(page->desk, period, &newest, err) != 0)
		return -1;
	rsp->snapshot_key.len = VAULT_SNAPSHOT_KEY_LEN;
	data_key_snapshots(period->data_key, &period->row.period, rsp->snapshot_key.data);
	rsp->snapshot = newest.number;
	rsp->snapshot_digest.len = newest.number > 0 ? SNAPSHOT_DIGEST_LEN : 0;
	memcpy(rsp->snapshot_digest.data, newest.digest, rsp->snapshot_digest.len);
	return 0;
}

/* A start has a volume, whose key is the period's: gone with it. */
static void add_volume(struct page *page)
{
	struct vault_materialise_rsp *rsp = page->rsp;
	const struct open_period *period = page->list->period;
	rsp->period = period->row.period.slot;
	rsp->volume_key.len = VAULT_VOLUME_KEY_LEN;
	data_key_volume(period->data_key, &period->row.period, rsp->volume_key.data);
}

/* For this host, and for its gateway if it has one; whether that key is one of a gateway the list of peers says when it calls. */
static int add_placements(struct page *page, struct error *err)
{
	const struct vault_materialise_req *req = page->asking->req;
	const struct open_period *period = page->list->period;
	struct vault_materialise_rsp *rsp = page->rsp;
	struct placement placement;
	if (placement_fill(&placement, &page->asking->holding,
		bus_request_peer(page->asking->request), err) != 0)
		return -1;
	scoped_secret struct secret *key =
	    data_key_placements(period->data_key, &period->row.period);
	placement_sign(key, &placement, PLACEMENT_HOST, rsp->placement.data);
	rsp->placement.len = PLACEMENT_LEN;
	if (!req->gateway_key[0])
		return 0;
	if (placement_fill(&placement, &page->asking->holding, req->gateway_key, err) != 0)
		return error_refuse(
		    err, ERR_INVALID, "grant_invalid", "gateway_key is no key in Z85");
	placement_sign(key, &placement, PLACEMENT_GATEWAY, rsp->gateway_grant.data);
	rsp->gateway_grant.len = PLACEMENT_LEN;
	return 0;
}

static int fill_first(struct page *page, struct error *err)
{
	struct vault_materialise_rsp *rsp = page->rsp;
	add_volume(page);
	if (add_placements(page, err) != 0 || add_snapshot(page, err) != 0 ||
	    add_handed(page, err) != 0 || add_channels(page, err) != 0)
		return -1;
	add_gateway_token(page);
	/* the values of the owner's own are opened where they are released, on their page */
	return llm_resolve(page->asking->vault, page->desk, page->list, false, rsp->providers.item,
	    &rsp->providers.len, err);
}

static int fill(struct page *page, struct error *err)
{
	const struct vault_materialise_req *req = page->asking->req;
	snprintf(page->detail, sizeof(page->detail), "boot %s", req->boot_id);
	if (req->page == 0 && fill_first(page, err) != 0)
		return -1;
	if (!page->list)
		return 0;
	if (add_records(page, err) != 0)
		return -1;
	if (page->is_full)
		page->rsp->next = req->page + 1;
	return note_all(page, err);
}

/* The first page finds a period or makes it: it may have been destroyed since the grant. All of it is listed for each page: it is how a record that is missing from the store is noticed. */
static int list_all(struct asking *asking, struct desk *desk, struct open_period *period_r,
    struct record_list *list_r, struct error *err)
{
	const struct vault_materialise_req *req = asking->req;
	const struct holding *holding = &asking->holding;
	int found = req->page == 0
			? records_make_period(desk, holding, period_r, &asking->has_made, err)
			: records_open_period(desk, holding, period_r, err);
	size_t live = 0;
	if (found <= 0)
		return found;
	if (records_list_all(desk, period_r, list_r, err) != 0)
		return -1;
	for (size_t i = 0; i < list_r->len; i++)
		live += !list_r->item[i].deleted;
	if (live > VAULT_SECRETS_MAX)
		return error_set(
		    err, ERR_INTERNAL, "more than %d secrets of one period", VAULT_SECRETS_MAX);
	return 1;
}

int page_work(struct asking *asking, struct desk *desk, struct error *err)
{
	struct vault_materialise_rsp *rsp = asking->rsp;
	scoped_open_period struct open_period period = {0};
	scoped_record_list struct record_list list = {0};
	int found = list_all(asking, desk, &period, &list, err);
	if (found < 0)
		return -1;
	memcpy(rsp->asset, asking->holding.asset, sizeof(rsp->asset));
	memcpy(rsp->wallet, asking->holding.wallet, sizeof(rsp->wallet));
	rsp->slot = asking->holding.slot;
	struct page page = {
	    .asking = asking, .desk = desk, .list = found ? &list : NULL, .rsp = rsp};
	return fill(&page, err);
}
