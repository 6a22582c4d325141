/* calls_world - a vault's handlers over a real store, real marks and a real master key, with everything else replaced: the bus, the worker's thread and
 * asking's way to session and ledger. What a handler does in the worker's thread is done at once, in a transaction of its own. For one test program each. */
#ifndef TESTS_CALLS_WORLD_H
#define TESTS_CALLS_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zmq.h>

#include "common/clock.h"
#include "services/secret-vault/asking.h"
#include "tests/unit/common/scratch.h"

#define ASSET "So11111111111111111111111111111111111111112"
#define WALLET "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"
#define BUYER "Stake11111111111111111111111111111111111111"
#define HOST "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define OTHER_HOST "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define BOOT "00112233445566778899aabbccddeeff"
#define NOW 1700000000000u

struct bus_request {
	const char *peer;
	unsigned caller;
};
static struct world {
	char dir[64];
	struct desk desk;
	struct vault vault;
	struct bus_request request;
	/* what session and ledger would say of the caller */
	struct holding holding;
	unsigned times; /* that the whole is asked, as if an event came in between */
	/* the last answer: exactly one */
	unsigned answers;
	union {
		struct vault_put_rsp put;
		struct vault_list_rsp list;
		struct vault_delete_rsp delete;
		struct vault_resolve_rsp resolve;
		struct vault_audit_rsp audit;
		struct vault_export_rsp export;
		struct vault_generate_rsp generate;
		struct vault_hot_rsp hot;
		struct vault_grant_rsp grant;
		struct vault_regrant_rsp regrant;
		struct vault_note_rsp note;
		struct vault_keep_rsp keep;
		struct vault_hand_over_rsp hand_over;
		struct vault_materialise_rsp materialise;
		struct vault_global_list_rsp global_list;
	} rsp;
	const struct proto_message *message; /* of rsp */
	bool failed;
	struct error err;
	unsigned events; /* of changed keys */
	/* auth.confirm */
	unsigned confirms;
	struct auth_confirm_req confirmed;
	struct error refuses; /* code 0: it agrees */
	const char *limited;  /* limit_kind of the last asking */
} world;

/* ---- the bus ---- */

void bus_reply(struct bus_request *request, const void *rsp)
{
	(void)request;
	msgpack_sbuffer buf;
	struct error err;
	world.answers++;
	world.failed = false;
	memcpy(&world.rsp, rsp, world.message->size);
	/* nothing that the wire would not carry */
	msgpack_sbuffer_init(&buf);
	if (codec_encode(world.message, rsp, &buf, &err) != 0)
		fail_msg("%s", err.text);
	assert_true(buf.size < 262144);
	msgpack_sbuffer_destroy(&buf);
}
void bus_fail(struct bus_request *request, const struct error *err)
{
	(void)request;
	world.answers++;
	world.failed = true;
	world.err = *err;
}
const char *bus_request_peer(const struct bus_request *request)
{
	return request->peer;
}
unsigned bus_request_caller(const struct bus_request *request)
{
	return request->caller;
}
const char *bus_request_trace(const struct bus_request *request)
{
	(void)request;
	return "trace";
}
uint64_t bus_request_deadline(const struct bus_request *request)
{
	(void)request;
	return NOW + 5000;
}
void bus_send(struct bus_client *client, const struct proto_call *call, const void *req,
    uint64_t deadline, const char *trace, bus_done done, void *arg)
{
	(void)client;
	(void)deadline;
	(void)trace;
	const struct auth_confirm_rsp rsp = {.history = "h", .slot = world.holding.slot};
	assert_ptr_equal(call, &auth_confirm_call);
	world.confirmed = *(const struct auth_confirm_req *)req;
	world.confirms++;
	if (world.refuses.code)
		done(arg, NULL, &world.refuses);
	else
		done(arg, &rsp, NULL);
}

/* ---- the ledger's events ---- */

void process_add_event(
    struct process *process, const char *asset, const char *kind, process_added done, void *arg)
{
	(void)process;
	assert_true(asset[0]);
	assert_string_equal(kind, "secret");
	world.events++;
	done(arg, NULL);
}

/* ---- the worker ---- */

static int transact(worker_work work, void *arg, enum worker_kind kind, struct error *err)
{
	struct desk *desk = &world.desk;
	if (db_begin(desk->db, kind == WORKER_WRITE, err) != 0)
		return -1;
	if (work(arg, desk, err) != 0) {
		db_rollback(desk->db);
		highwater_forget(desk->highwater);
		return -1;
	}
	if (db_commit(desk->db, err) != 0)
		return -1;
	return highwater_commit(desk->highwater, err);
}
void worker_do(
    struct worker *worker, enum worker_kind kind, worker_work work, worker_done done, void *arg)
{
	(void)worker;
	struct error err;
	done(arg, transact(work, arg, kind, &err) == 0 ? NULL : &err);
}

/* ---- asking ---- */

struct tried {
	struct asking *asking;
	const struct asking_plan *plan;
};
static bool gone_on;
static int ask_work(void *arg, struct desk *desk, struct error *err)
{
	struct tried *tried = arg;
	return tried->plan->work(tried->asking, desk, err);
}
void asking_go_on(struct asking *asking, const struct error *err)
{
	(void)asking;
	gone_on = !err;
	if (err)
		world.err = *err;
}
static int ask_once(struct asking *asking, const struct asking_plan *plan, struct error *err)
{
	struct tried tried = {asking, plan};
	memset(asking->rsp, 0, plan->call->rsp->size);
	if (plan->before) {
		plan->before(asking);
		*err = world.err;
		if (!gone_on)
			return -1;
	}
	return transact(ask_work, &tried, plan->kind, err);
}
void asking_begin(struct vault *vault, const struct asking_plan *plan, const char *token,
    const struct holding *holding, const void *req, struct bus_request *request, void *extra,
    size_t extra_size)
{
	struct error err;
	struct asking asking = {.vault = vault,
	    .request = request,
	    .req = req,
	    .rsp = calloc(1, plan->call->rsp->size),
	    .holding = holding ? *holding : world.holding,
	    .extra = extra,
	    .extra_size = extra_size};
	assert_non_null(asking.rsp);
	assert_int_equal(token != NULL, holding == NULL);
	world.limited = plan->limit_kind;
	snprintf(asking.by, sizeof(asking.by), holding ? "sandbox %s" : "owner %s",
	    holding ? request->peer : asking.holding.wallet);
	asking.holding.other_slot = world.holding.other_slot;
	int status = 0;
	for (unsigned i = 0; i < world.times && status == 0; i++)
		status = ask_once(&asking, plan, &err);
	if (status == 0 && plan->finish)
		status = plan->finish(&asking, &err);
	if (status == 0)
		bus_reply(request, asking.rsp);
	else
		bus_fail(request, &err);
	sodium_memzero(extra, extra_size);
	free(extra);
	free(asking.rsp);
}
int vault_serves(const struct vault *vault, struct error *err)
{
	return vault->state == VAULT_OPEN
		   ? 0
		   : error_refuse(err, ERR_UNAVAILABLE, "vault_sealed", "sealed");
}

/* ---- the world ---- */

/* Asks; exactly one answer has to come. */
#define ASK(name, ...) \
	do { \
		const struct vault_##name##_req ask_req = {__VA_ARGS__}; \
		world.answers = 0; \
		world.message = &vault_##name##_rsp_message; \
		vault_##name(&world.vault, &ask_req, &world.request); \
		assert_int_equal(world.answers, 1); \
	} while (0)
#define assert_refused(c, r) \
	do { \
		assert_true(world.failed); \
		assert_string_equal(world.err.reason, r); \
		assert_int_equal(world.err.code, c); \
	} while (0)
static inline void assert_answered(void)
{
	if (world.failed)
		fail_msg("%s: %s", world.err.reason, world.err.text);
}

static struct master *read_master(const char *dir)
{
	uint8_t bytes[32];
	char text[64], path[96];
	struct error err;
	randombytes_buf(bytes, sizeof(bytes));
	sodium_bin2base64(text, sizeof(text), bytes, sizeof(bytes), sodium_base64_VARIANT_ORIGINAL);
	snprintf(path, sizeof(path), "%s/key", dir);
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	fprintf(file, "%s\n", text);
	fchmod(fileno(file), 0600);
	fclose(file);
	struct master *master = master_read_file(path, &err);
	if (!master)
		fail_msg("%s", err.text);
	return master;
}

static void open_storage(void)
{
	char path[96];
	struct error err;
	snprintf(path, sizeof(path), "sqlite:%s/store.db", world.dir);
	world.desk.db = db_open(path, &err);
	if (!world.desk.db || store_create(world.desk.db, &err) != 0)
		fail_msg("%s", err.text);
	snprintf(path, sizeof(path), "%s/marks.db", world.dir);
	world.desk.highwater = highwater_open(path, &err);
	if (!world.desk.highwater)
		fail_msg("%s", err.text);
}

/* What makes llm-gateway offer a provider. */
#define OFFERED \
	"\"base_url\":\"https://api.example\",\"auth\":{\"header\":\"x-api-key\"}," \
	"\"shape\":\"openai\",\"paths\":[\"/v1\"]"

static inline int world_open(void **state)
{
	(void)state;
	static const char providers[] =
	    "{\"providers\":["
	    "{\"name\":\"anthropic\",\"env\":[\"ANTHROPIC_API_KEY\"]," OFFERED "},"
	    "{\"name\":\"gemini\",\"env\":[\"GEMINI_API_KEY\",\"GOOGLE_API_KEY\"]," OFFERED "},"
	    "{\"name\":\"openai\",\"env\":[\"OPENAI_API_KEY\"]," OFFERED "}]}";
	struct error err;
	world = (struct world){.times = 1, .request = {HOST, ROLE_ROUTER}};
	assert_true(sodium_init() >= 0);
	clock_fake(NOW, 1000);
	snprintf(world.dir, sizeof(world.dir), "/tmp/vault-calls-XXXXXX");
	assert_non_null(mkdtemp(world.dir));
	world.holding =
	    (struct holding){.asset = ASSET, .wallet = WALLET, .slot = 1000, .other_slot = 900};
	world.desk.now_ms = NOW;
	world.desk.master = read_master(world.dir);
	world.vault.providers = providers_parse(providers, sizeof(providers) - 1, &err);
	assert_non_null(world.vault.providers);
	world.vault.grant_key = master_subkey(world.desk.master, "grant");
	world.vault.state = VAULT_OPEN;
	open_storage();
	return 0;
}

static inline int world_close(void **state)
{
	(void)state;
	db_close(&world.desk.db);
	highwater_close(&world.desk.highwater);
	master_destroy(&world.desk.master);
	providers_destroy(&world.vault.providers);
	secret_destroy(&world.vault.grant_key);
	secret_destroy(&world.vault.next_grant_key);
	clock_fake(0, 0);
	return scratch_remove(world.dir);
}

/* ---- short words for what most tests do ---- */

static inline void put_bytes(const char *kind, const char *name, const void *value, size_t len)
{
	struct vault_put_req req = {.token = "t"};
	snprintf(req.kind, sizeof(req.kind), "%s", kind);
	snprintf(req.name, sizeof(req.name), "%s", name);
	memcpy(req.value.data, value, len);
	req.value.len = len;
	world.answers = 0;
	world.message = &vault_put_rsp_message;
	vault_put(&world.vault, &req, &world.request);
	assert_int_equal(world.answers, 1);
}
static inline void put(const char *kind, const char *name, const char *value)
{
	put_bytes(kind, name, value, strlen(value));
}
static inline void put_global(const char *provider, const char *value)
{
	struct vault_global_put_req req = {0};
	snprintf(req.provider, sizeof(req.provider), "%s", provider);
	req.value.len = strlen(value);
	memcpy(req.value.data, value, req.value.len);
	world.answers = 0;
	world.message = &vault_global_put_rsp_message;
	vault_global_put(&world.vault, &req, &world.request);
	assert_int_equal(world.answers, 1);
}

/* The chain as the owner sees it, "act kind/name vN by [detail]; ..." without "period", from seq on. */
static inline const char *trail(uint64_t after)
{
	static char text[65536];
	size_t len = 0;
	ASK(audit, .token = "t", .after = after);
	assert_answered();
	text[0] = '\0';
	for (size_t i = 0; i < world.rsp.audit.entries.len; i++) {
		const struct entries_item *item = &world.rsp.audit.entries.item[i];
		if (strcmp(item->act, "period") == 0)
			continue;
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s %s/%s v%u",
		    len ? "; " : "", item->act, item->kind, item->name, (unsigned)item->version);
		assert_true(len < sizeof(text));
	}
	return text;
}

#endif
