/* vault.generate and hot - the hot wallet: a keypair that the agent gets as a file and its owner sees once. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "services/secret-vault/asking.h"

#define KIND "wallet"
#define NAME "hot"
#define ACT "hot_wallet"
#define KEYPAIR_LEN crypto_sign_SECRETKEYBYTES /* seed and public key */

/* One request, which may be asked more than once: the signature counts once, and what this request itself made it may tell again. */
struct generating {
	bool is_confirmed;
	char asset[PUBKEY_TEXT_MAX + 1],
	    wallet[PUBKEY_TEXT_MAX + 1]; /* that it was confirmed for */
	uint64_t made_version;           /* 0: not made yet */
};

/* Nothing is sealed to a key that everybody can open: low order, zero. */
static int check_recipient(const struct vault_generate_req *req, struct error *err)
{
	uint8_t scalar[crypto_scalarmult_SCALARBYTES], shared[crypto_scalarmult_BYTES];
	if (req->recipient.len == 0)
		return 0;
	randombytes_buf(scalar, sizeof(scalar));
	bool usable = req->recipient.len == crypto_box_PUBLICKEYBYTES &&
		      crypto_scalarmult(shared, scalar, req->recipient.data) == 0;
	sodium_memzero(scalar, sizeof(scalar));
	sodium_memzero(shared, sizeof(shared));
	return usable ? 0
		      : error_refuse(err, ERR_INVALID, "recipient_invalid",
			    "the recipient is no X25519 public key that can be sealed to");
}

static void confirmed(void *arg, const void *rsp, const struct error *err)
{
	struct asking *asking = arg;
	struct generating *generating = asking->extra;
	(void)rsp;
	generating->is_confirmed = !err;
	asking_go_on(asking, err);
}

/* The ledger may be asked again, the wallet may not: its nonce is used up. */
static void confirm(struct asking *asking)
{
	const struct vault_generate_req *req = asking->req;
	struct generating *generating = asking->extra;
	struct error err;
	if (generating->is_confirmed) {
		bool same = strcmp(generating->asset, asking->holding.asset) == 0 &&
			    strcmp(generating->wallet, asking->holding.wallet) == 0;
		error_refuse(&err, ERR_DENIED, "not_owner", "it was signed for by somebody else");
		asking_go_on(asking, same ? NULL : &err);
		return;
	}
	struct auth_confirm_req out = {.act = ACT};
	memcpy(generating->asset, asking->holding.asset, sizeof(generating->asset));
	memcpy(generating->wallet, asking->holding.wallet, sizeof(generating->wallet));
	memcpy(out.asset, asking->holding.asset, sizeof(out.asset));
	memcpy(out.wallet, asking->holding.wallet, sizeof(out.wallet));
	memcpy(out.nonce, req->nonce, sizeof(out.nonce));
	memcpy(&out.signature, &req->signature, sizeof(out.signature));
	memcpy(&out.signed_message, &req->signed_message, sizeof(out.signed_message));
	memcpy(&out.recipient, &req->recipient, sizeof(out.recipient));
	memcpy(out.ip, req->ip, sizeof(out.ip));
	bus_send(asking->vault->auths, &auth_confirm_call, &out,
	    bus_request_deadline(asking->request), bus_request_trace(asking->request), confirmed,
	    asking);
}

static int fill(void *arg, uint8_t *bytes, size_t len)
{
	(void)len;
	return crypto_sign_keypair(arg, bytes);
}

static int answer(const struct asking *asking, const struct secret *keypair, struct error *err)
{
	const struct vault_generate_req *req = asking->req;
	struct vault_generate_rsp *rsp = asking->rsp;
	const uint8_t *bytes = secret_bytes(keypair);
	if (secret_len(keypair) != KEYPAIR_LEN)
		return error_refuse(
		    err, ERR_INTERNAL, "secret_undecryptable", "the hot wallet is no keypair");
	pubkey_text(bytes + crypto_sign_SEEDBYTES, rsp->address);
	if (req->recipient.len == 0) {
		memcpy(rsp->secret.data, bytes, KEYPAIR_LEN);
		rsp->secret.len = KEYPAIR_LEN;
		return 0;
	}
	if (crypto_box_seal(rsp->sealed.data, bytes, KEYPAIR_LEN, req->recipient.data) != 0)
		return error_refuse(err, ERR_INVALID, "recipient_invalid",
		    "the recipient is no X25519 public key that can be sealed to");
	rsp->sealed.len = KEYPAIR_LEN + crypto_box_SEALBYTES;
	return 0;
}

static int make(
    struct asking *asking, struct desk *desk, const struct open_period *period, struct error *err)
{
	struct generating *generating = asking->extra;
	uint8_t public[PUBKEY_LEN];
	char address[PUBKEY_TEXT_MAX + 1];
	scoped_secret struct secret *keypair = secret_make(KEYPAIR_LEN, fill, public);
	if (!keypair)
		return error_set(err, ERR_INTERNAL, "no keypair could be made");
	if (answer(asking, keypair, err) != 0 ||
	    records_write(desk, period, KIND, NAME, secret_bytes(keypair), KEYPAIR_LEN,
		pubkey_text(public, address), &generating->made_version, err) != 0)
		return -1;
	const struct audit_note note = {.act = "generate",
	    .by = asking->by,
	    .kind = KIND,
	    .name = NAME,
	    .version = generating->made_version,
	    .detail = address};
	return records_audit(desk, &period->row.period, &note, err);
}

static int generate(struct asking *asking, struct desk *desk, struct error *err)
{
	struct generating *generating = asking->extra;
	struct record record = {0};
	scoped_open_period struct open_period period = {0};
	if (records_make_period(desk, &asking->holding, &period, &asking->has_made, err) < 0 ||
	    records_read(desk, &period, KIND, NAME, &record, err) != 0)
		return -1;
	scoped_secret struct secret *keypair = record.value;
	if (record.found == RECORD_NONE)
		return make(asking, desk, &period, err);
	if (record.found == RECORD_SET && record.version == generating->made_version)
		return answer(asking, keypair, err);
	return error_refuse(err, ERR_CONFLICT, "already_revealed",
	    "the hot wallet was made before; its key was shown then and never again");
}

void vault_generate(
    struct vault *self, const struct vault_generate_req *req, struct bus_request *request)
{
	static const struct asking_plan plan = {.call = &vault_generate_call,
	    .kind = WORKER_WRITE,
	    .releases = true,
	    .before = confirm,
	    .work = generate};
	struct error err;
	if (check_recipient(req, &err) != 0) {
		bus_fail(request, &err);
		return;
	}
	struct generating *generating = calloc(1, sizeof(*generating));
	bug_if(!generating);
	asking_begin(self, &plan, req->token, NULL, req, request, generating, sizeof(*generating));
}

static void show(void *arg, const struct record_shown *shown)
{
	struct vault_hot_rsp *rsp = arg;
	if (strcmp(shown->kind, KIND) != 0 || strcmp(shown->name, NAME) != 0)
		return;
	snprintf(rsp->address, sizeof(rsp->address), "%.44s", shown->preview);
	rsp->created_ms = shown->updated_ms;
}

static int hot(struct asking *asking, struct desk *desk, struct error *err)
{
	scoped_open_period struct open_period period = {0};
	int found = records_open_period(desk, &asking->holding, &period, err);
	return found <= 0 ? found : records_list(desk, &period, show, asking->rsp, err);
}

void vault_hot(struct vault *self, const struct vault_hot_req *req, struct bus_request *request)
{
	static const struct asking_plan plan = {
	    .call = &vault_hot_call, .kind = WORKER_READ, .releases = true, .work = hot};
	asking_begin(self, &plan, req->token, NULL, req, request, NULL, 0);
}
