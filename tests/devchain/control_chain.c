#include "tests/devchain/control_chain.h"

#include <sodium.h>
#include <string.h>

#include "common/scoped.h"
#include "tests/devchain/control_args.h"
#include "tests/devchain/control_fault.h"
#include "tests/devchain/core.h"

#define MINT_MAX 10000u

static const char *text_or(const struct control_call *call, const char *name, const char *otherwise)
{
	const char *text = arg_text(call, name);

	return text ? text : otherwise;
}

static int check_texts(const struct control_call *call, struct error *err)
{
	if (strlen(text_or(call, "name", "")) > CORE_TEXT_MAX ||
	    strlen(text_or(call, "uri", "")) > CORE_TEXT_MAX)
		return error_set(err, ERR_INVALID, "name or uri too long");
	return 0;
}

int control_create_collection(struct control_call *call, struct error *err)
{
	struct account_state scoped_state state = {0};
	uint8_t address[PUBKEY_LEN], authority[PUBKEY_LEN];

	if (check_texts(call, err) != 0 || arg_key_or_random(call, "address", address, err) != 0 ||
	    arg_key_or_random(call, "authority", authority, err) != 0 ||
	    control_check_free(call, address, err) != 0)
		return -1;
	core_collection_create(authority, text_or(call, "name", "Collection"),
	    text_or(call, "uri", "https://example.org/c.json"), &state);
	control_put(call, address, &state);
	control_reply_key(call, "collection", address);
	control_reply_key(call, "authority", authority);
	return devchain_save(call->devchain, err);
}

static int count_in(
    struct control_call *call, const uint8_t *collection, int minted, int size, struct error *err)
{
	struct account_state scoped_state state = {0};

	if (control_newest(call, collection, &state, err) != 0 ||
	    core_collection_count(&state, minted, size, err) != 0)
		return -1;
	control_put(call, collection, &state);
	return 0;
}

/* leaving a collection that is gone is no error */
static void count_out(struct control_call *call, const struct account_state *asset)
{
	uint8_t collection[PUBKEY_LEN];

	if (core_asset_collection(asset, collection))
		count_in(call, collection, 0, -1, NULL);
}

/* cuts "k=v,k=v" up in place */
static int read_attributes(char *text, struct core_asset *asset, struct error *err)
{
	char *rest = NULL;

	for (char *pair = strtok_r(text, ",", &rest); pair; pair = strtok_r(NULL, ",", &rest)) {
		char *value = strchr(pair, '=');

		if (!value || asset->nattributes == CORE_ATTRIBUTES_MAX)
			return error_set(err, ERR_INVALID, "attributes are k=v,k=v; at most %d",
			    CORE_ATTRIBUTES_MAX);
		*value++ = '\0';
		asset->attributes[asset->nattributes++] = (struct core_attribute){pair, value};
	}
	return 0;
}

static int read_asset(
    const struct control_call *call, char *attributes, struct core_asset *asset, struct error *err)
{
	*asset = (struct core_asset){
	    .update = arg_text(call, "collection") ? CORE_UPDATE_COLLECTION : CORE_UPDATE_ADDRESS,
	    .uri = text_or(call, "uri", "https://example.org/a.json"),
	    .has_seq = arg_text(call, "seq") || json_object_get(call->params, "seq"),
	    .has_delegate = arg_text(call, "delegate"),
	};
	if (check_texts(call, err) != 0 || arg_key(call, "owner", asset->owner, err) != 0 ||
	    arg_u64(call, "seq", &asset->seq, err) != 0 ||
	    read_attributes(attributes, asset, err) != 0)
		return -1;
	if (asset->has_delegate && arg_key(call, "delegate", asset->delegate, err) != 0)
		return -1;
	return arg_key_or_random(call,
	    asset->update == CORE_UPDATE_COLLECTION ? "collection" : "authority", asset->authority,
	    err);
}

static void mint_one(struct control_call *call, const struct core_asset *asset,
    const uint8_t *address, json_t *minted)
{
	struct account_state scoped_state state = {0};
	char text[PUBKEY_TEXT_MAX + 1];

	core_asset_create(asset, &state);
	control_put(call, address, &state);
	json_array_append_new(minted, json_string(pubkey_text(address, text)));
}

static void number_name(const struct control_call *call, char *name, size_t size, uint64_t number)
{
	const char *stem = text_or(call, "name", "Asset");

	if (number)
		snprintf(name, size, "%s #%llu", stem, (unsigned long long)number);
	else
		snprintf(name, size, "%s", stem);
}

int control_mint(struct control_call *call, struct error *err)
{
	scoped_free char *attributes = strdup(text_or(call, "attributes", ""));
	scoped_json json_t *minted = json_array();
	struct core_asset asset;
	uint8_t address[PUBKEY_LEN];
	uint64_t count = 1;
	char name[CORE_TEXT_MAX + 32];

	bug_if(!attributes);
	if (read_asset(call, attributes, &asset, err) != 0 ||
	    arg_u64(call, "count", &count, err) != 0 ||
	    arg_key_or_random(call, "asset", address, err) != 0 ||
	    control_check_free(call, address, err) != 0)
		return -1;
	if (count < 1 || count > MINT_MAX || (count > 1 && arg_text(call, "asset")))
		return error_set(
		    err, ERR_INVALID, "count is 1 to %u, and 1 with an address", MINT_MAX);
	if (asset.update == CORE_UPDATE_COLLECTION &&
	    count_in(call, asset.authority, (int)count, (int)count, err) != 0)
		return -1;
	asset.name = name;
	for (uint64_t i = 0; i < count; i++) {
		number_name(call, name, sizeof(name), count > 1 ? i + 1 : 0);
		if (i > 0)
			arg_key_or_random(call, "asset", address, NULL);
		mint_one(call, &asset, address, minted);
	}
	json_object_set(call->reply, "asset", json_array_get(minted, 0));
	if (count > 1)
		json_object_set(call->reply, "assets", minted);
	return devchain_save(call->devchain, err);
}

int control_transfer(struct control_call *call, struct error *err)
{
	struct account_state scoped_state state = {0};
	uint8_t asset[PUBKEY_LEN], to[PUBKEY_LEN], from[PUBKEY_LEN];

	if (arg_key(call, "asset", asset, err) != 0 || arg_key(call, "to", to, err) != 0 ||
	    control_newest(call, asset, &state, err) != 0)
		return -1;
	if (!core_asset_owner(&state, from))
		return error_set(err, ERR_INVALID, "not a Core asset");
	if (core_transfer(&state, to, err) != 0)
		return -1;
	control_put(call, asset, &state);
	control_reply_key(call, "asset", asset);
	control_reply_key(call, "from", from);
	control_reply_key(call, "to", to);
	return devchain_save(call->devchain, err);
}

int control_burn(struct control_call *call, struct error *err)
{
	struct account_state scoped_state state = {0};
	uint8_t asset[PUBKEY_LEN];

	if (arg_key(call, "asset", asset, err) != 0 ||
	    control_newest(call, asset, &state, err) != 0)
		return -1;
	if (!core_is_asset(&state))
		return error_set(err, ERR_INVALID, "not a Core asset");
	count_out(call, &state);
	if (core_burn(&state, err) != 0)
		return -1;
	control_put(call, asset, &state);
	control_reply_key(call, "asset", asset);
	return devchain_save(call->devchain, err);
}

int control_move(struct control_call *call, struct error *err)
{
	struct account_state scoped_state before = {0}, after = {0};
	const struct account_state *target;
	uint8_t asset[PUBKEY_LEN], to[PUBKEY_LEN];
	bool into;

	if (arg_key(call, "asset", asset, err) != 0 || arg_key(call, "to", to, err) != 0 ||
	    control_newest(call, asset, &before, err) != 0)
		return -1;
	target = account_at(chain_find(call->devchain->chain, to), UINT64_MAX);
	into = target && core_is_collection(target);
	account_state_copy(&before, &after);
	if (core_move(&after, into ? CORE_UPDATE_COLLECTION : CORE_UPDATE_ADDRESS, to, err) != 0)
		return -1;
	count_out(call, &before);
	if (into && count_in(call, to, 0, 1, err) != 0)
		return -1;
	control_put(call, asset, &after);
	control_reply_key(call, "asset", asset);
	return devchain_save(call->devchain, err);
}

int control_fork(struct control_call *call, struct error *err)
{
	uint64_t slots = 1;

	if (arg_u64(call, "slots", &slots, err) != 0)
		return -1;
	json_object_set_new(
	    call->reply, "dropped", json_integer((json_int_t)devchain_fork(call->devchain, slots)));
	return devchain_save(call->devchain, err);
}

int control_set_account(struct control_call *call, struct error *err)
{
	const char *data = text_or(call, "data", "");
	struct account_state scoped_state state = {0};
	uint8_t key[PUBKEY_LEN];
	size_t room = strlen(data) / 4 * 3 + 1;

	if (arg_key(call, "key", key, err) != 0)
		return -1;
	account_state_resize(&state, room);
	if (sodium_base642bin(state.data, room, data, strlen(data), NULL, &state.len, NULL,
		sodium_base64_VARIANT_ORIGINAL) != 0 ||
	    state.len > ACCOUNT_DATA_MAX)
		return error_set(err, ERR_INVALID, "data is not base64, or too long");
	bug_if(pubkey_parse(
		   arg_text(call, "program") ? SYSTEM_PROGRAM : CORE_PROGRAM, state.program) != 0);
	if (arg_text(call, "program") && arg_key(call, "program", state.program, err) != 0)
		return -1;
	state.lamports = rent_exempt(state.len);
	if (arg_u64(call, "lamports", &state.lamports, err) != 0)
		return -1;
	control_put(call, key, &state);
	return devchain_save(call->devchain, err);
}

int control_pushed(struct control_call *call, struct error *err)
{
	const struct account *account;
	uint8_t key[PUBKEY_LEN];

	if (arg_key(call, "account", key, err) != 0)
		return -1;
	account = chain_find(call->devchain->chain, key);
	if (!account || !account->pushed_us)
		return error_set(err, ERR_INVALID, "nothing was pushed of this account");
	json_object_set_new(call->reply, "slot", json_integer((json_int_t)account->pushed_slot));
	json_object_set_new(call->reply, "unix_us", json_integer((json_int_t)account->pushed_us));
	return 0;
}

static json_t *describe_node(struct devchain *devchain, size_t i)
{
	static const char *const names[COMMITMENTS] = {"processed", "confirmed", "finalized"};
	struct pubsub *pubsub = endpoint_pubsub(devchain->endpoints[i]);
	json_t *node = fault_describe(&devchain->nodes[i].faults);
	struct view view;

	node_view(&devchain->nodes[i], &view);
	json_object_set_new(node, "name", json_string(devchain->nodes[i].name));
	for (size_t c = 0; c < COMMITMENTS; c++)
		json_object_set_new(node, names[c],
		    json_integer((json_int_t)chain_block(devchain->chain, view.height[c]).slot));
	json_object_set_new(
	    node, "websockets", json_integer((json_int_t)pubsub_connections(pubsub)));
	json_object_set_new(
	    node, "subscriptions", json_integer((json_int_t)pubsub_subscriptions(pubsub)));
	return node;
}

int control_status(struct control_call *call, struct error *err)
{
	struct account *const *accounts;
	json_t *nodes = json_array();

	(void)err;
	for (size_t i = 0; i < NODES; i++)
		json_array_append_new(nodes, describe_node(call->devchain, i));
	json_object_set_new(call->reply, "accounts",
	    json_integer((json_int_t)chain_accounts(call->devchain->chain, &accounts)));
	json_object_set_new(call->reply, "next_slot",
	    json_integer((json_int_t)chain_next_slot(call->devchain->chain)));
	json_object_set_new(call->reply, "nodes", nodes);
	return 0;
}
