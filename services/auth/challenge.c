/* auth.challenge - composes the text that a wallet is to sign, and keeps it in the ledger under its nonce. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/pubkey.h"
#include "services/auth/acts.h"
#include "services/auth/auth.h"
#include "services/auth/siws.h"

struct challenge {
	struct auth *self;
	struct bus_request *request;
	struct auth_challenge_rsp rsp;
};

static int check_keys(const struct auth_challenge_req *req, struct error *err)
{
	uint8_t key[PUBKEY_LEN];
	if (req->asset[0] && pubkey_parse(req->asset, key) != 0)
		return error_refuse(
		    err, ERR_INVALID, "asset_invalid", "the asset is not a base58 address");
	if (pubkey_parse(req->wallet, key) != 0)
		return error_refuse(
		    err, ERR_INVALID, "wallet_invalid", "the wallet is not a base58 public key");
	if (!pubkey_is_on_curve(key))
		return error_refuse(err, ERR_INVALID, "wallet_invalid",
		    "the wallet is a program's address: no key can sign for it");
	return 0;
}

static int check_act(const struct auth_challenge_req *req, struct error *err)
{
	if (!req->act[0] && req->recipient.len > 0)
		return error_refuse(
		    err, ERR_INVALID, "recipient_invalid", "a recipient is of an act");
	if (req->recipient.len != 0 && req->recipient.len != RECIPIENT_LEN)
		return error_refuse(err, ERR_INVALID, "recipient_invalid",
		    "the recipient is not %d bytes", RECIPIENT_LEN);
	if (req->act[0] && !req->asset[0])
		return error_refuse(
		    err, ERR_INVALID, "asset_invalid", "an act is of one asset: name it");
	return 0;
}

static int state(const struct auth_challenge_req *req, const struct client_address *client,
    char statement[SIWS_STATEMENT_MAX + 1], struct error *err)
{
	if (req->act[0])
		return act_statement(
		    &(struct act_for){
			.act = req->act,
			.asset = req->asset,
			.ip = client->text,
			.recipient = req->recipient.len ? req->recipient.data : NULL,
		    },
		    statement, err);
	snprintf(statement, SIWS_STATEMENT_MAX + 1,
	    "Sign in to multiclaw%s%s from %s. This does not send a transaction or cost anything.",
	    req->asset[0] ? " agent " : "", req->asset, client->text);
	return 0;
}

static int compose(const struct auth *self, const struct auth_challenge_req *req,
    const struct client_address *client, struct auth_challenge_rsp *rsp,
    struct nonce_record *record, struct error *err)
{
	const struct ledger_chain *chain = follower_chain(self->process->follower);
	if (!chain || !chain->genesis[0]) {
		error_refuse(err, ERR_UNAVAILABLE, "chain_unavailable",
		    "no sweep of the chain has counted yet");
		err->retry_after_s = 1;
		return -1;
	}
	uint64_t now_ms = clock_unix_ms();
	record->expires_ms = now_ms + NONCE_TTL_MS;
	nonce_new(rsp->nonce);
	snprintf(rsp->domain, sizeof(rsp->domain), "%s", origin_domain(&self->origin));
	snprintf(rsp->address, sizeof(rsp->address), "%s", req->wallet);
	if (state(req, client, rsp->statement, err) != 0)
		return -1;
	snprintf(rsp->uri, sizeof(rsp->uri), "%s", self->origin.text);
	snprintf(rsp->version, sizeof(rsp->version), "1");
	snprintf(rsp->chain_id, sizeof(rsp->chain_id), "%s", siws_chain_id(chain->genesis));
	clock_rfc3339(now_ms, rsp->issued_at, sizeof(rsp->issued_at));
	clock_rfc3339(record->expires_ms, rsp->expires_at, sizeof(rsp->expires_at));
	const struct siws fields = {
	    .domain = rsp->domain,
	    .address = rsp->address,
	    .statement = rsp->statement,
	    .uri = rsp->uri,
	    .version = rsp->version,
	    .chain_id = rsp->chain_id,
	    .nonce = rsp->nonce,
	    .issued_at = rsp->issued_at,
	    .expires_at = rsp->expires_at,
	};
	if (siws_compose(&fields, rsp->message, err) != 0)
		return -1;
	memcpy(record->text, rsp->message, sizeof(record->text));
	memcpy(record->wallet, req->wallet, sizeof(record->wallet));
	memcpy(record->asset, req->asset, sizeof(record->asset));
	memcpy(record->act, req->act, sizeof(record->act));
	memcpy(&record->recipient, &req->recipient, sizeof(record->recipient));
	return 0;
}

static void issued(void *arg, const struct ledger_wait *out, const struct error *err)
{
	struct challenge *challenge = arg;
	struct error limited;
	if (err) {
		bus_fail(challenge->request, err);
	} else if (out->wait_ms > 0) {
		metric_add(challenge->self->challenges_limited, 1);
		auth_limited(out->wait_ms, &limited);
		bus_fail(challenge->request, &limited);
	} else {
		metric_add(challenge->self->challenges_issued, 1);
		bus_reply(challenge->request, &challenge->rsp);
	}
	free(challenge);
}

/* The cap on live nonces as a bucket: half at once and a tenth a minute make no more than all in the 5 minutes that a nonce lives. */
static struct ledger_limit cap(const struct auth *self)
{
	return (struct ledger_limit){.kind = "challenges",
	    .key = "all",
	    .per_minute = self->challenges_live / 10,
	    .burst = self->challenges_live / 2};
}

static int issue(struct challenge *challenge, const struct client_address *client,
    const struct nonce_record *record, struct error *err)
{
	struct auth *self = challenge->self;
	char pair[PUBKEY_TEXT_MAX + 1 + CLIENT_ADDRESS_MAX + 1];
	snprintf(pair, sizeof(pair), "%s@%s", record->wallet, client->block);
	const struct ledger_limit limits[] = {
	    auth_limit("challenge", pair, self->challenges_per_minute),
	    auth_limit("challenge-address", client->block, self->challenges_per_minute_per_address),
	    cap(self),
	};
	msgpack_sbuffer stored;
	msgpack_sbuffer_init(&stored);
	int rc = nonce_encode(record, &stored, err);
	if (rc == 0)
		ledger_issue(self->process->redis, challenge->rsp.nonce, stored.data, stored.size,
		    limits, ARRAY_LEN(limits), issued, challenge);
	msgpack_sbuffer_destroy(&stored);
	return rc;
}

void auth_challenge(
    struct auth *self, const struct auth_challenge_req *req, struct bus_request *request)
{
	struct error err;
	struct client_address client;
	struct nonce_record record = {0};
	struct challenge *challenge = calloc(1, sizeof(*challenge));
	bug_if(!challenge);
	challenge->self = self;
	challenge->request = request;
	if (check_keys(req, &err) != 0 || check_act(req, &err) != 0 ||
	    client_address_parse(req->ip, &client, &err) != 0 ||
	    compose(self, req, &client, &challenge->rsp, &record, &err) != 0 ||
	    issue(challenge, &client, &record, &err) != 0) {
		bus_fail(request, &err);
		free(challenge);
	}
}
