/* gateway - calls served by services/llm-gateway, one per host: told by the sandbox of its host which agents may use keys, and from which address. */
#ifndef PROTO_GATEWAY_H
#define PROTO_GATEWAY_H

#include "common/schema.h"

/* clang-format off */
/* Said again, it changes nothing; said of an agent or an address that is there, it takes the place of what was. Said before anything of the agent runs, and
 * of all agents again when the gateway was started anew. */
#define gateway_admit_REQ(F, M) \
	F(M, STR, agent, 32, 32, MUST, "its id, which is computed from the asset") \
	F(M, STR, asset, 32, 44, MUST, "base58") \
	F(M, STR, wallet, 32, 44, MUST, "base58; the owner") \
	F(M, UINT, slot, 0, UINT64_MAX, MUST, "of proof") \
	F(M, STR, boot_id, 32, 32, MUST, "hex, of this start") \
	F(M, STR, address, 7, 15, MUST, "IPv4, of the container's end of its link") \
	F(M, STR, token, 64, 64, SECRET, "hex, of this boot: what the container shows") \
	F(M, BIN, grant, 1, 256, SECRET, "gateway_grant of vault.materialise, for vault.use")
#define gateway_admit_RSP(F, M) \
	F(M, UINT, port, 1, 65535, MUST, "that it listens on: http://<address of the containers' resolver>:<port>/<provider>/...")

#define gateway_leave_REQ(F, M) \
	F(M, STR, agent, 32, 32, MUST, "its id") \
	F(M, STR, boot_id, 32, 32, MUST, "of the start that is over; of another one nothing happens")
#define gateway_leave_RSP(F, M) \
	F(M, BOOL, was_there, 0, 1, MUST, "false: it was not, or of another boot")

#define GATEWAY_CALLS(C) \
	C(gateway, admit, ROLE_SANDBOX, READ, "An agent of this host may use keys through the gateway.") \
	C(gateway, leave, ROLE_SANDBOX, READ, "An agent's boot is over: its streams are cut, its keys dropped.")
GATEWAY_CALLS(PROTO_DECLARE)
/* clang-format on */

#endif
