#include "tests/devchain/devchain.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/scoped.h"
#include "common/solana_program.h"
#include "tests/devchain/demo.h"

struct waiter {
	uint64_t slot;
	enum commitment commitment;
	devchain_reached done;
	void *arg;
	struct waiter *next;
};

/* ---- waiting for a slot ---- */

static uint64_t slot_at(const struct chain *chain, enum commitment commitment)
{
	struct view view;

	chain_view(chain, 0, &view);
	return chain_block(chain, view.height[commitment]).slot;
}

static bool settled(const struct devchain *devchain, const struct waiter *waiter, bool *reached_r)
{
	bool produced = waiter->slot < chain_next_slot(devchain->chain);

	*reached_r = produced && chain_has_slot(devchain->chain, waiter->slot);
	if (produced && !*reached_r)
		return true;
	return *reached_r && waiter->slot <= slot_at(devchain->chain, waiter->commitment);
}

static void serve_waiters(struct devchain *devchain)
{
	struct waiter **at = &devchain->waiters, *waiter;
	bool reached;

	while ((waiter = *at)) {
		if (!settled(devchain, waiter, &reached)) {
			at = &waiter->next;
			continue;
		}
		*at = waiter->next;
		waiter->done(waiter->arg, reached);
		free(waiter);
	}
}

void devchain_wait(struct devchain *devchain, uint64_t slot, enum commitment commitment,
    devchain_reached done, void *arg)
{
	struct waiter *waiter = malloc(sizeof(*waiter));

	bug_if(!waiter);
	*waiter = (struct waiter){slot, commitment, done, arg, devchain->waiters};
	devchain->waiters = waiter;
	serve_waiters(devchain);
}

/* ---- slots ---- */

static void reserve(struct devchain *devchain, bool exact)
{
	struct error err = {0};

	if (store_reserve(&devchain->store, chain_next_slot(devchain->chain),
		devchain->slots_a_second, exact, &err) != 0)
		log_error("slot not written", "error", err.text);
}

static void on_slot(evutil_socket_t fd, short what, void *arg)
{
	struct devchain *devchain = arg;

	(void)fd;
	(void)what;
	chain_tick(devchain->chain, clock_unix_ms());
	reserve(devchain, false);
	for (size_t i = 0; i < NODES; i++)
		pubsub_advance(endpoint_pubsub(devchain->endpoints[i]));
	serve_waiters(devchain);
}

uint64_t devchain_fork(struct devchain *devchain, uint64_t n)
{
	uint64_t dropped = chain_fork(devchain->chain, n);
	struct view view;

	chain_view(devchain->chain, 0, &view);
	for (size_t i = 0; i < NODES; i++)
		pubsub_rewind(endpoint_pubsub(devchain->endpoints[i]), view.height[PROCESSED]);
	return dropped;
}

int devchain_save(struct devchain *devchain, struct error *err)
{
	return store_save(&devchain->store, devchain->chain, &devchain->genesis, err);
}

/* ---- transactions ---- */

static void on_landed(void *arg)
{
	struct error err = {0};

	if (devchain_save(arg, &err) != 0)
		log_error("transaction not saved", "error", err.text);
}

/* The programs that transactions may name are accounts too. */
static void seed_programs(struct chain *chain)
{
	static const enum solana_program programs[] = {SOLANA_PROGRAM_SYSTEM,
	    SOLANA_PROGRAM_COMPUTE_BUDGET, SOLANA_PROGRAM_TOKEN, SOLANA_PROGRAM_TOKEN_2022,
	    SOLANA_PROGRAM_ASSOCIATED_TOKEN, SOLANA_PROGRAM_CORE, SOLANA_PROGRAM_AGENT_TOOLS};
	struct account_state state = {.lamports = rent_exempt(0)};

	bug_if(pubkey_parse(STATE_LOADER, state.program) != 0);
	for (size_t i = 0; i < ARRAY_LEN(programs); i++)
		if (!chain_find(chain, solana_program_key(programs[i])))
			chain_seed(chain, solana_program_key(programs[i]), 1, &state);
}

/* ---- opening ---- */

static int write_ports(
    const struct devchain *devchain, const struct devchain_options *options, struct error *err)
{
	scoped_json json_t *ports = json_pack("{s:i}", "pid", (int)getpid());
	scoped_free char *text = NULL;

	for (size_t i = 0; i < NODES; i++) {
		char rpc[] = {'r', 'p', 'c', '_', devchain->nodes[i].name[0], '\0'};
		char ws[] = {'w', 's', '_', devchain->nodes[i].name[0], '\0'};

		json_object_set_new(ports, rpc, json_integer(options->port[i]));
		json_object_set_new(ports, ws, json_integer(options->ws_port[i]));
	}
	text = json_dumps(ports, JSON_INDENT(2));
	bug_if(!text);
	return store_write(&devchain->store, "ports.json", text, 0644, err);
}

static int open_chain(
    struct devchain *devchain, const struct devchain_options *options, struct error *err)
{
	uint64_t lags[COMMITMENTS] = {0, options->confirmed_lag, options->finalized_lag};
	scoped_free char *ports = NULL;
	bool found;

	if (store_open(&devchain->store, options->state_dir, err) != 0)
		return -1;
	ports = store_path(&devchain->store, "ports.json");
	unlink(ports);
	devchain->chain =
	    store_load(&devchain->store, options->slot_ms, lags, &devchain->genesis, &found, err);
	if (!devchain->chain)
		return -1;
	/* a chain that was killed before its first save has no accounts, whatever demo.json says */
	if (options->demo && (!found || !demo_exists(&devchain->store)) &&
	    demo_seed(&devchain->store, devchain->chain, err) != 0)
		return -1;
	seed_programs(devchain->chain);
	devchain->bank =
	    (struct bank){.chain = devchain->chain, .changed = on_landed, .arg = devchain};
	memcpy(devchain->bank.genesis, devchain->genesis.hash, PUBKEY_LEN);
	reserve(devchain, false);
	return devchain_save(devchain, err);
}

int devchain_open(struct devchain *devchain, struct event_base *base,
    const struct devchain_options *options, struct error *err)
{
	static const char *const names[NODES] = {"a", "b"};
	struct timeval every = {
	    (time_t)(options->slot_ms / 1000), (suseconds_t)(options->slot_ms % 1000 * 1000)};
	struct devchain_options actual = *options;

	*devchain = (struct devchain){
	    .base = base, .slots_a_second = 1000 / options->slot_ms + 1, .store.lock_fd = -1};
	if (open_chain(devchain, options, err) != 0)
		return -1;
	for (size_t i = 0; i < NODES; i++) {
		node_open(
		    &devchain->nodes[i], names[i], devchain->chain, devchain->genesis.started_ms);
		devchain->endpoints[i] = endpoint_new(
		    devchain, &devchain->nodes[i], &actual.port[i], &actual.ws_port[i], err);
		if (!devchain->endpoints[i])
			return -1;
		log_info("listening", "node", names[i], "rpc", log_u64(actual.port[i]), "ws",
		    log_u64(actual.ws_port[i]));
	}
	devchain->slot_timer = event_new(base, -1, EV_PERSIST, on_slot, devchain);
	bug_if(!devchain->slot_timer || event_add(devchain->slot_timer, &every) != 0);
	return write_ports(devchain, &actual, err);
}

static void save_at_the_end(struct devchain *devchain)
{
	struct error err = {0};
	scoped_free char *ports = store_path(&devchain->store, "ports.json");

	if (devchain_save(devchain, &err) != 0)
		log_error("chain not saved", "error", err.text);
	reserve(devchain, true);
	unlink(ports);
}

void devchain_close(struct devchain *devchain)
{
	if (devchain->slot_timer) {
		save_at_the_end(devchain);
		event_free(devchain->slot_timer);
	}
	for (struct waiter *waiter; (waiter = devchain->waiters);) {
		devchain->waiters = waiter->next;
		waiter->done(waiter->arg, false);
		free(waiter);
	}
	for (size_t i = 0; i < NODES; i++) {
		endpoint_destroy(&devchain->endpoints[i]);
		node_reset(&devchain->nodes[i]);
	}
	chain_destroy(&devchain->chain);
	store_close(&devchain->store);
}
