#include "services/cli/drill_chain.h"

#include <stdio.h>
#include <string.h>

#include "common/error.h"
#include "common/scoped.h"

/* Consumes params. Returns what the caller owns, or NULL. */
static json_t *call(
    struct drill_chain *chain, const char *command, json_t *params, struct error *err)
{
	scoped_json json_t *body = json_pack("{ss si so so}", "jsonrpc", "2.0", "id", 1, "method",
	    json_sprintf("devchain_%s", command), "params", params);
	scoped_free char *text = json_dumps(body, 0);
	scoped_answer struct web_answer answer = {0};

	if (web_ask(
		&(struct web_question){
		    .method = "POST", .url = chain->url, .body = text, .loop = &chain->loop},
		&answer, err) < 0)
		return NULL;
	json_t *result = json_object_get(answer.json, "result");
	if (json_is_object(result))
		return json_incref(result);
	error_set(err, ERR_DENIED, "%s refuses devchain_%s: %s", chain->url, command,
	    web_text(json_object_get(answer.json, "error"), "message"));
	return NULL;
}

/* The development chain listens nowhere else; an asset that somebody paid for is elsewhere. */
static bool is_here(const char *url)
{
	static const char *const starts[] = {"http://127.0.0.1:", "http://localhost:"};

	for (size_t i = 0; i < ARRAY_LEN(starts); i++) {
		size_t len = strlen(starts[i]), digits = 0;
		if (strncmp(url, starts[i], len) != 0)
			continue;
		digits = strspn(url + len, "0123456789");
		return digits > 0 && strcmp(url + len + digits, "") == 0;
	}
	return false;
}

int drill_chain_open(
    struct drill_chain *chain, const char *url, const struct web_loop *loop, struct error *err)
{
	*chain = (struct drill_chain){.loop = *loop};
	chain->loop.connect_to = NULL;
	snprintf(chain->url, sizeof(chain->url), "%s", url);
	if (!is_here(chain->url))
		return error_set(err, ERR_DENIED,
		    "%s is no development chain: that listens on 127.0.0.1, at "
		    "http://127.0.0.1:PORT",
		    url);
	scoped_json json_t *status = call(chain, "status", json_object(), err);
	if (!status && err->code != ERR_DENIED)
		return -1;
	if (!json_array_size(json_object_get(status, "nodes")))
		return error_set(err, ERR_DENIED,
		    "%s is no development chain; on a real one there is 'drill --read-only'", url);
	return 0;
}

int drill_chain_mint(
    struct drill_chain *chain, const char *collection, const char *owner, struct error *err)
{
	scoped_json json_t *minted = call(chain, "mint",
	    json_pack("{ss ss ss ss}", "collection", collection, "owner", owner, "name",
		"multiclaw drill", "wait", "confirmed"),
	    err);
	const char *asset = web_text(minted, "asset");

	if (!minted)
		return -1;
	if (!asset[0] || strlen(asset) > PUBKEY_TEXT_MAX)
		return error_set(err, ERR_INTERNAL, "%s minted nothing", chain->url);
	snprintf(chain->asset, sizeof(chain->asset), "%s", asset);
	return 0;
}

int drill_chain_transfer(
    struct drill_chain *chain, const char *to, uint64_t *slot_r, struct error *err)
{
	bug_if(!chain->asset[0]);
	scoped_json json_t *done = call(chain, "transfer",
	    json_pack("{ss ss ss}", "asset", chain->asset, "to", to, "wait", "confirmed"), err);
	if (!done)
		return -1;
	*slot_r = (uint64_t)json_integer_value(json_object_get(done, "slot"));
	return 0;
}

void drill_chain_burn(struct drill_chain *chain)
{
	struct error ignored;

	if (chain->asset[0])
		json_decref(
		    call(chain, "burn", json_pack("{ss}", "asset", chain->asset), &ignored));
	chain->asset[0] = '\0';
}

uint64_t drill_chain_pushed(struct drill_chain *chain, uint64_t slot)
{
	struct error ignored;
	scoped_json json_t *pushed =
	    call(chain, "pushed", json_pack("{ss}", "account", chain->asset), &ignored);

	if ((uint64_t)json_integer_value(json_object_get(pushed, "slot")) < slot)
		return 0;
	return (uint64_t)json_integer_value(json_object_get(pushed, "unix_us"));
}

static bool node_is_mute(const json_t *node)
{
	static const char *const faults[] = {"mute_push", "silent", "freeze", "lag", "lower_slot"};
	const json_t *on = json_object_get(node, "faults");

	for (size_t i = 0; i < ARRAY_LEN(faults); i++)
		if (json_object_get(on, faults[i]))
			return true;
	return false;
}

bool drill_chain_is_mute(struct drill_chain *chain)
{
	struct error ignored;
	scoped_json json_t *status = call(chain, "status", json_object(), &ignored);
	const json_t *nodes = json_object_get(status, "nodes");
	json_t *node;
	size_t i;

	json_array_foreach(nodes, i, node) if (!node_is_mute(node)) return false;
	return json_array_size(nodes) > 0;
}
