#include "services/agent-wallet/relay.h"

#include <string.h>

void relay_judge(const struct chain_send_rsp *rsp, struct operation *op)
{
	if (!rsp)
		return;
	if (rsp->accepted > 0) {
		op->accepted = true;
		op->error[0] = '\0';
		return;
	}
	for (size_t i = 0; i < rsp->relays.len; i++)
		if (strcmp(rsp->relays.item[i].outcome, "refused") == 0)
			memcpy(op->error, rsp->relays.item[i].error, sizeof(op->error));
}

void relay_request(const struct operation *op, struct chain_send_req *req_r)
{
	memset(req_r, 0, sizeof(*req_r));
	req_r->transaction.len = op->sent_len;
	memcpy(req_r->transaction.data, op->sent, op->sent_len);
	req_r->skip_preflight = op->accepted;
}
