#include "services/chain-oracle/collection_scan.h"

#include <sodium.h>

#include "common/log.h"

#define NO_NODE_MS 25
#define RETRY_MS 5000
#define BODY_BASE ((size_t)64 * 1024)
#define BODY_PER_ASSET \
	700 /* a slice in base64 with its JSON, and room for members that nodes may add */

static void wait_ms(struct collection_scan *scan, uint64_t ms)
{
	const struct timeval tv = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000) * 1000};
	event_add(scan->timer, &tv);
}

/* Up to a quarter earlier, so that replicas do not scan together. */
static void wait_for_next(struct collection_scan *scan)
{
	uint64_t ms = scan->interval_ms;
	if (scan->failures > 0 && (uint64_t)RETRY_MS << (scan->failures - 1) < ms)
		ms = (uint64_t)RETRY_MS << (scan->failures - 1);
	wait_ms(scan, ms - randombytes_uniform((uint32_t)(ms / 4 + 1)));
}

static void failed(struct collection_scan *scan, const struct rpc_node *node, const char *why)
{
	if (scan->failures == 0)
		log_warn("the collection cannot be scanned: only assets that were seen are found "
			 "by wallet",
		    "node", node->label, "why", why);
	if (scan->failures < 16)
		scan->failures++;
}

static void put(
    void *arg, const uint8_t key[PUBKEY_LEN], const struct rpc_account *account, uint64_t slot)
{
	struct collection_scan *scan = arg;
	char asset[PUBKEY_TEXT_MAX + 1];
	struct core_asset seen;
	core_account_read(&account->core, scan->collection, &seen);
	index_see(scan->index, pubkey_text(key, asset), &seen, slot);
}

static int take(struct collection_scan *scan, struct rpc_node *node,
    const struct rpc_answer *answer, struct error *err)
{
	size_t unread;
	uint64_t slot;
	if (rpc_answer_slot(answer, &slot, err) < 0)
		return -1;
	/* a slot from the future would keep the index from learning */
	if (!rpc_nodes_accept(scan->nodes, node, slot))
		return error_set(err, ERR_UNAVAILABLE, "the node is not plausible");
	index_scan_begin(scan->index);
	if (rpc_answer_collection(answer, put, scan, &unread, err) < 0)
		return -1;
	index_scan_end(scan->index, slot);
	log_info("collection scanned", "node", node->label, "assets",
	    log_u64(index_len(scan->index)), "unread", log_u64(unread), "left_out",
	    log_u64(index_left_out(scan->index)));
	return 0;
}

static void on_answer(void *arg, struct rpc_node *node, const struct rpc_answer *answer)
{
	struct collection_scan *scan = arg;
	struct error err;
	if (!scan->timer)
		return;
	scan->was_tried = true;
	if (answer->outcome != RPC_OK)
		failed(scan, node, answer->err.text);
	else if (take(scan, node, answer, &err) < 0)
		failed(scan, node, err.text);
	else
		scan->failures = 0;
	wait_for_next(scan);
}

static void on_time(evutil_socket_t fd, short what, void *arg)
{
	struct collection_scan *scan = arg;
	struct rpc_node *node = rpc_nodes_next(scan->nodes);
	(void)fd;
	(void)what;
	if (!node) {
		wait_ms(scan, NO_NODE_MS);
		return;
	}
	uint64_t id = rpc_node_id(node);
	const struct rpc_call call = {.body = rpc_request_collection(id, scan->collection),
	    .id = id,
	    .body_max = BODY_BASE + scan->assets_max * BODY_PER_ASSET};
	rpc_node_call(node, call, on_answer, scan);
}

void collection_scan_open(struct collection_scan *scan, struct event_base *base,
    struct rpc_nodes *nodes, struct index *index, const uint8_t *collection, size_t assets_max,
    uint64_t interval_ms)
{
	*scan = (struct collection_scan){
	    nodes, index, collection, assets_max, interval_ms, NULL, 0, false};
	scan->timer = event_new(base, -1, 0, on_time, scan);
	bug_if(!scan->timer);
	wait_ms(scan, 0);
}

void collection_scan_close(struct collection_scan *scan)
{
	if (scan->timer)
		event_free(scan->timer);
	scan->timer = NULL;
}
