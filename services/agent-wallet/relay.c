#include "services/agent-wallet/relay.h"

#include <stdio.h>
#include <string.h>

/* How a node's preflight failed; NULL: none did. */
static const char *refusal_in(const struct chain_send_rsp *rsp)
{
	for (size_t i = 0; i < rsp->relays.len; i++)
		if (strcmp(rsp->relays.item[i].outcome, "refused") == 0)
			return rsp->relays.item[i].error;
	return NULL;
}

void relay_judge(const struct chain_send_rsp *rsp, struct operation *op)
{
	if (!rsp)
		return;
	const char *refusal = refusal_in(rsp);
	if (!refusal && chain_is_vouched(rsp->accepted, rsp->of))
		op->accepted = true;
	if (rsp->accepted > 0)
		op->error[0] = '\0';
	else if (refusal)
		snprintf(op->error, sizeof(op->error), "%s", refusal);
}

void relay_request(const struct operation *op, struct chain_send_req *req_r)
{
	memset(req_r, 0, sizeof(*req_r));
	req_r->transaction.len = op->sent_len;
	memcpy(req_r->transaction.data, op->sent, op->sent_len);
	req_r->skip_preflight = op->accepted;
}
