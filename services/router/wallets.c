#include "services/router/wallets.h"

#include <sodium.h>
#include <string.h>

#include "common/codec.h"
#include "proto/wallet.h"
#include "services/router/fields.h"
#include "services/router/signin.h"
#include "services/router/vaults.h"
#include "services/router/wallet_json.h"

#define WALLETS_MS 12000 /* several readings of the chain and a simulation; nginx waits 16 s */
#define HOT_MS 2000      /* what is shown is shown without a vault, too */
#define RECENT_DEFAULT 20
#define RECENT_MAX 50

/* A transaction that is none is one thing to say here, whatever is wrong with its bytes; the text tells. */
static void refuse(struct api_call *call, const struct error *err)
{
	struct error plain = *err;

	if (strncmp(err->reason, "tx_", 3) == 0)
		snprintf(plain.reason, sizeof(plain.reason), "transaction_invalid");
	api_refuse(call, &plain);
}

/* Consumes body, which may be NULL: JSON could not say it. */
static void reply(struct api_call *call, int status, json_t *body)
{
	struct error err;

	if (body) {
		api_reply(call, status, body);
	} else {
		error_set(&err, ERR_INTERNAL, "a wallet that JSON cannot say");
		api_refuse(call, &err);
	}
}

static void ask(struct api_call *call, const struct proto_call *what, void *req, bus_done done)
{
	struct bus_client *wallets = call->router->wallets;

	bug_if(strcmp(what->req->fields[0].name, "token") != 0 || what->req->fields[0].offset != 0);
	memcpy(req, call->token, sizeof(call->token));
	if (wallets)
		bus_send(wallets, what, req, clock_unix_ms() + WALLETS_MS,
		    http_request_id(call->request), done, call);
	else
		api_refuse_named(call, "service_unavailable");
	codec_wipe(what->req, req);
}

/* ---- what there is ---- */

static void on_shown(void *arg, const void *rsp, const struct error *err)
{
	struct api_call *call = arg;
	const char *hot = call->wanted ? call->text : NULL;

	if (err)
		refuse(call, err);
	else
		reply(call, 200, wallet_json_shown(rsp, hot));
}

static void on_hot(void *arg, const void *rsp, const struct error *err)
{
	struct api_call *call = arg;
	const struct vault_hot_rsp *hot = rsp;
	struct wallet_show_req req = {0};

	call->wanted = !err;
	if (!err) {
		snprintf(call->text, sizeof(call->text), "%s", hot->address);
		memcpy(req.hot, call->text, sizeof(req.hot));
	}
	ask(call, &wallet_show_call, &req, on_shown);
}

void wallets_show(struct api_call *call, const struct session_check_rsp *session)
{
	(void)session;
	if (call->router->vaults)
		vaults_ask(call, &vault_hot_call, &(struct vault_hot_req){0}, HOT_MS, on_hot);
	else
		ask(call, &wallet_show_call, &(struct wallet_show_req){0}, on_shown);
}

static void on_recent(void *arg, const void *rsp, const struct error *err)
{
	if (err)
		refuse(arg, err);
	else
		reply(arg, 200, wallet_json_recent(rsp));
}

/* "", or "before=<signature>". */
static bool read_recent(const char *query, struct wallet_recent_req *req)
{
	static const char before[] = "before=";
	uint8_t signature[SIGNATURE_LEN];

	req->limit = RECENT_DEFAULT;
	if (!query[0])
		return true;
	if (strncmp(query, before, strlen(before)) != 0 ||
	    base58_decode(query + strlen(before), signature, sizeof(signature)) != 0)
		return false;
	snprintf(req->before, sizeof(req->before), "%s", query + strlen(before));
	return true;
}

void wallets_recent(struct api_call *call, const struct session_check_rsp *session)
{
	(void)session;
	struct wallet_recent_req req = {0};

	if (read_recent(http_query(call->request), &req))
		ask(call, &wallet_recent_call, &req, on_recent);
	else
		api_refuse_named(call, "query_invalid");
}

/* ---- one transaction ---- */

void wallets_challenge(struct api_call *call, const struct session_check_rsp *session)
{
	struct auth_challenge_req req = {.act = "raw_instructions"};
	struct error err;

	if (api_fields(call, NULL, 0, &err) != 0) {
		api_refuse(call, &err);
		return;
	}
	memcpy(req.wallet, session->wallet, sizeof(req.wallet));
	memcpy(req.asset, session->asset, sizeof(req.asset));
	signin_ask(call, &req);
}

static void on_built(void *arg, const void *rsp, const struct error *err)
{
	if (err)
		refuse(arg, err);
	else
		reply(arg, 200, wallet_json_built(rsp));
}

void wallets_build(struct api_call *call, const struct session_check_rsp *session)
{
	(void)session;
	struct wallet_build_req req = {0};
	struct error err;

	memcpy(req.ip, call->ip, sizeof(req.ip));
	if (wallet_json_order(call->body, &req, &err) != 0)
		api_refuse(call, &err);
	else
		ask(call, &wallet_build_call, &req, on_built);
}

/* As a path has it: 32 hex digits, else there is no such thing. */
static bool read_id(const struct api_call *call, char id[WALLET_ID_LEN + 1])
{
	const char *text = call->arguments.text[0];

	if (strlen(text) != WALLET_ID_LEN || strspn(text, "0123456789abcdef") != WALLET_ID_LEN)
		return false;
	memcpy(id, text, WALLET_ID_LEN + 1);
	return true;
}

static void on_state(
    struct api_call *call, int status, const struct wallet_status_rsp *rsp, const struct error *err)
{
	if (err)
		refuse(call, err);
	else
		reply(call, status, wallet_json_state(call->arguments.text[0], rsp));
}

_Static_assert(sizeof(struct wallet_submit_rsp) == sizeof(struct wallet_status_rsp),
    "wallet.submit answers as wallet.status does");
static void on_submitted(void *arg, const void *rsp, const struct error *err)
{
	on_state(arg, 202, rsp, err);
}

static void on_status(void *arg, const void *rsp, const struct error *err)
{
	on_state(arg, 200, rsp, err);
}

static int read_transaction(
    const struct api_call *call, struct wallet_submit_req *req, struct error *err)
{
	char text[FIELDS_BASE64_SIZE(CHAIN_TRANSACTION_MAX)] = "";
	const struct api_field field = {"transaction", text, sizeof(text), false};

	if (api_fields(call, &field, 1, err) != 0 ||
	    fields_base64("transaction", text, req->transaction.data, sizeof(req->transaction.data),
		&req->transaction.len, err) != 0)
		return -1;
	return req->transaction.len
		   ? 0
		   : error_refuse(err, ERR_INVALID, "body_invalid", "transaction is empty");
}

void wallets_submit(struct api_call *call, const struct session_check_rsp *session)
{
	(void)session;
	struct wallet_submit_req req = {0};
	struct error err;

	if (read_transaction(call, &req, &err) != 0)
		api_refuse(call, &err);
	else if (!read_id(call, req.id))
		api_refuse_named(call, "operation_unknown");
	else
		ask(call, &wallet_submit_call, &req, on_submitted);
}

void wallets_status(struct api_call *call, const struct session_check_rsp *session)
{
	(void)session;
	struct wallet_status_req req = {0};

	if (read_id(call, req.id))
		ask(call, &wallet_status_call, &req, on_status);
	else
		api_refuse_named(call, "operation_unknown");
}
