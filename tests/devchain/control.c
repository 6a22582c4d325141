#include "tests/devchain/control.h"

#include <string.h>

#include "common/log.h"
#include "common/scoped.h"
#include "tests/devchain/control_args.h"
#include "tests/devchain/control_chain.h"
#include "tests/devchain/control_fault.h"
#include "tests/devchain/control_money.h"

/* every command may also be given these */
#define COMMON_PARAMS "node wait"

static const struct command {
	const char *name, *params, *doc;
	int (*run)(struct control_call *call, struct error *err);
} commands[] = {
    {"create_collection", "address authority name uri", "make a collection",
	control_create_collection},
    {"mint", "asset owner collection authority name uri attributes seq delegate count",
	"mint into a collection, or without one standalone; attributes as k=v,k=v; count makes "
	"several",
	control_mint},
    {"transfer", "asset to", "give the asset to another wallet", control_transfer},
    {"burn", "asset", "burn the asset: its account stays, one byte long", control_burn},
    {"move", "asset to",
	"into another collection, or, if to is any other address, out of all of them",
	control_move},
    {"airdrop", "to sol lamports", "give SOL to an address (1)", control_airdrop},
    {"create_mint", "mint decimals authority program", "make a mint; program token or token-2022",
	control_create_mint},
    {"fund", "mint owner account amount delegate delegated frozen closer wrapped",
	"put an amount of a mint into the owner's associated token account, or into another one",
	control_fund},
    {"delegate", "asset authority profile identity",
	"let the authority execute for the asset: a record, and an AgentIdentity on the asset "
	"unless identity is no",
	control_delegate},
    {"fork", "slots", "drop the newest slots that are not confirmed, with what changed in them",
	control_fork},
    {"set_account", "key program data lamports",
	"put raw bytes (base64); lamports 0 removes the account", control_set_account},
    {"status", "", "slots, faults, connections", control_status},
    {"pushed", "account", "when the newest change of the account was first pushed to a WebSocket",
	control_pushed},
    {"ok", "", "end every fault of the node", fault_ok},
    {"fault", FAULT_PARAMS, "set several of the faults below at once; false or 0 ends one",
	fault_set},
    {"silent", "value", "accept requests and connections, never answer", fault_by_name},
    {"mute_push", "value", "WebSockets stay connected, nothing is pushed", fault_by_name},
    {"drop_ws", "", "close every WebSocket once", fault_drop_ws},
    {"refuse", "value", "HTTP 429", fault_by_name},
    {"refuse_quiet", "value", "HTTP 200 with a JSON error 429", fault_by_name},
    {"retry_after", "value", "seconds that a 429 advises (1)", fault_by_name},
    {"html", "value", "HTTP 502 with an HTML body", fault_by_name},
    {"half_body", "value", "the connection ends in the middle of the body", fault_by_name},
    {"half_json", "value", "a whole reply of cut JSON", fault_by_name},
    {"wrong_id", "value", "answer with another id", fault_by_name},
    {"delay", "value", "every reply waits that many ms (1000)", fault_by_name},
    {"lag", "value", "be that many slots behind (200)", fault_by_name},
    {"lower_slot", "value", "the same, and minContextSlot is not honoured (200)", fault_by_name},
    {"freeze", "value", "stand still", fault_by_name},
    {"skew_clock", "value", "the Clock sysvar moves, that many seconds late (600)", fault_by_name},
    {"bad_slot", "value", "every slot is 18446744073709551615", fault_by_name},
    {"lose_sent", "value", "accept transactions, and forget them", fault_by_name},
    {"false_simulation", "value",
	"say of every simulation and preflight that it goes well and changes nothing",
	fault_by_name},
    {"other_status", "value", "asked for a status, tell that of the newest transaction",
	fault_by_name},
    {"no_history", "value", "refuse to search the history of transactions", fault_by_name},
    {"old_statuses", "value", "tell statuses of that many slots ago (100)", fault_by_name},
    {"ahead", "value", "tell every slot that much too high (200)", fault_by_name},
    {"high", "value", "tell every block height that much too high (1000)", fault_by_name},
    {"lie", "asset owner", "report another owner of the asset", fault_lie},
};

static const struct command *find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

bool control_exists(const char *name)
{
	return find(name) != NULL;
}

static bool is_word_of(const char *list, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = list; (at = strstr(at, word)); at += len)
		if ((at == list || at[-1] == ' ') && (at[len] == ' ' || at[len] == '\0'))
			return true;
	return false;
}

static int check_params(const struct command *command, const json_t *params, struct error *err)
{
	const char *name;
	const json_t *value;

	json_object_foreach((json_t *)(uintptr_t)params, name,
	    value) if (!is_word_of(command->params, name) &&
		       !is_word_of(COMMON_PARAMS, name)) return error_set(err, ERR_INVALID,
	    "%s takes no %s", command->name, name);
	return 0;
}

static int choose_node(struct control_call *call, struct error *err)
{
	const char *name = arg_text(call, "node");

	for (size_t i = 0; name && i < NODES; i++)
		if (strcmp(call->devchain->nodes[i].name, name) == 0) {
			call->node = &call->devchain->nodes[i];
			return 0;
		}
	return name ? error_set(err, ERR_INVALID, "no node %s", name) : 0;
}

static int choose_wait(struct control_call *call, struct error *err)
{
	static const char *const names[COMMITMENTS] = {"processed", "confirmed", "finalized"};
	const char *name = arg_text(call, "wait");

	for (size_t i = 0; name && i < COMMITMENTS; i++)
		if (strcmp(names[i], name) == 0) {
			call->waits = true;
			call->wait_for = (enum commitment)i;
			return 0;
		}
	return name ? error_set(err, ERR_INVALID, "wait for processed, confirmed or finalized") : 0;
}

int control_run(struct control_call *call, const char *name, struct error *err)
{
	const struct command *command = find(name);
	scoped_json json_t *reply = json_object();

	if (!command)
		return error_set(err, ERR_NOT_FOUND, "no command %s", name);
	/* one object, bare or as the only element of an array */
	if (json_array_size(call->params) == 1)
		call->params = json_array_get(call->params, 0);
	if (call->params && !json_is_object(call->params) && json_array_size(call->params) != 0)
		return error_set(err, ERR_INVALID, "parameters are one object");
	if (check_params(command, call->params, err) != 0 || choose_node(call, err) != 0 ||
	    choose_wait(call, err) != 0)
		return -1;
	call->reply = reply;
	call->command = command->name;
	if (command->run(call, err) != 0)
		return -1;
	if (call->slot)
		json_object_set_new(reply, "slot", json_integer((json_int_t)call->slot));
	call->waits = call->waits && call->slot;
	call->reply = json_incref(reply);
	log_info("done", "command", name, "node", call->node->name, "slot", log_u64(call->slot));
	return 0;
}

void control_help(FILE *out)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		char name[32], params[160], *word, *rest = NULL;

		snprintf(name, sizeof(name), "%s", commands[i].name);
		for (char *at = name; (at = strchr(at, '_'));)
			*at = '-';
		snprintf(params, sizeof(params), "%s", commands[i].params);
		fprintf(out, "  %s", name);
		for (word = strtok_r(params, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
			for (char *at = word; (at = strchr(at, '_'));)
				*at = '-';
			fprintf(out, " [--%s V]", word);
		}
		fprintf(out, "\n      %s\n", commands[i].doc);
	}
}
