/* wallet - calls served by services/agent-wallet: composes, explains, checks and sends transactions of an agent's on-chain wallet, the asset signer
 * PDA of its NFT. It signs nothing. Every call carries the owner's session, which agent-wallet checks with session itself.
 *
 * What is a node's word (balances, tokens, simulations, recent transactions) is forgeable by that node and has to be shown as such; the lines of
 * wallet.build are made from the transaction's own bytes, and whoever signs makes them anew (common/wallet_summary.h).
 *
 * States of an operation, of which it never goes back: built (nobody has signed it), sent (stored with its signatures, and sent again until it lands or
 * cannot any more), confirmed, then one of finalized, failed (it landed and failed: error says how, the fee is paid), expired (the block height has
 * passed and by every node's word it did not land: it never will).
 *
 * Refusals besides those of the session (unauthenticated session_*), of the limits (busy rate_limited) and of the chain (proto/chain.h):
 *	denied		not_owner (the chain says somebody else owns the asset), asset_refused (burned, or moved out of the collection),
 *			transaction_changed (submit: not what was built), fee_too_high (submit: the priority fee that was added),
 *			wallet_captured (build: the PDA is not a plain account any more),
 *			dangerous (build: raw instructions without `dangerous` and a fresh signature)
 *	invalid		operation_invalid (no such operation, or its fields are missing or say nothing), address_invalid,
 *			amount_zero, amount_too_much (more than there is), amount_leaves_rent, amount_below_rent (what stays with the wallet, or is
 *			with the recipient, would be between 1 lamport and rent exemption), payer_too_poor,
 *			recipient_off_curve (without allow_off_curve), recipient_self, recipient_refused (no wallet: a program, a token account, an NFT, also a burned one),
 *			mint_refused, token_refused (no token account of the wallet's, frozen, not empty), nft_refused (not an asset that the wallet
 *			holds), delegate_refused (nothing to revoke),
 *			signature_missing (submit: a signature is missing or wrong), tx_* (submit: no transaction; common/solana_tx.h)
 *	not_found	operation_unknown (none of the owner's in this ownership period; unsigned ones are forgotten after minutes)
 *	conflict	already_submitted (with other bytes; or these bytes for another operation: an equal order of the same blockhash is the same transaction), operation_expired (submit: its blockhash is too old)
 * The text names the numbers.
 */
#ifndef PROTO_WALLET_H
#define PROTO_WALLET_H

#include "common/schema.h"
#include "proto/chain.h" /* holdings_item, recents_item, keys_item, CHAIN_TRANSACTION_MAX */

#define WALLET_ID_LEN 32 /* hex of 128 random bits */
#define WALLET_TEXT_MAX 640 /* a line of the summary: ASCII */

/* clang-format off */
#define lines_ITEM(F, M) \
	F(M, STR, text, 1, WALLET_TEXT_MAX, MUST, "what it does, ASCII, one line") \
	F(M, BOOL, warning, 0, 1, MAY, "asks for a second look")
PROTO_ITEM(lines)
#define instructions_ITEM(F, M) \
	F(M, STR, program, 32, 44, MUST, "base58 address") \
	F(M, UINT, accounts, 0, 40, MUST, "how many of metas are its accounts: the next ones") \
	F(M, BIN, data, 0, 900, MAY, "of the instruction")
PROTO_ITEM(instructions)
#define metas_ITEM(F, M) \
	F(M, STR, key, 32, 44, MUST, "base58 address") \
	F(M, BOOL, signs, 0, 1, MAY, "only the agent's wallet and the owner can") \
	F(M, BOOL, written, 0, 1, MAY, "the instruction may change it")
PROTO_ITEM(metas)
#define delegates_ITEM(F, M) \
	F(M, STR, record, 32, 44, MUST, "address of the ExecutionDelegateRecord: wallet.build revoke_delegate names it") \
	F(M, STR, authority, 32, 44, MUST, "who may execute: spend all there is") \
	F(M, STR, profile, 32, 44, MUST, "the executive's profile") \
	F(M, STR, age, 5, 7, MUST, "before, after or unknown: made before or since the present owner was first seen, by one node's word") \
	F(M, STR, warning, 0, 240, MUST, "in words")
PROTO_ITEM(delegates)

#define wallet_show_REQ(F, M) \
	F(M, STR, token, 1, 4096, SECRET, "session of the owner") \
	F(M, STR, hot, 0, 44, MAY, "address of the hot wallet (vault.hot), whose balance is wanted")
#define wallet_show_RSP(F, M) \
	F(M, STR, state, 5, 8, MUST, "clean, or captured: do not fund it; of the account and the tokens one node's word") \
	F(M, LIST, lines, 0, 32, MAY, "why it is captured, and other warnings") \
	F(M, BOOL, usable, 0, 1, MUST, "transactions can be built; false: the account itself was turned into something else") \
	F(M, STR, address, 0, 44, MAY, "of the wallet; absent if captured") \
	F(M, UINT, slot, 0, UINT64_MAX, MUST, "of the reading of the balance") \
	F(M, UINT, lamports, 0, UINT64_MAX, MAY, "one node's word") \
	F(M, UINT, rent_exempt, 0, UINT64_MAX, MAY, "the least that an account must hold, or nothing") \
	F(M, BOOL, more, 0, 1, MAY, "there are more token accounts than are shown") \
	F(M, LIST, holdings, 0, 256, MAY, "token accounts with delegates and close authorities: one node's word") \
	F(M, BOOL, identity, 0, 1, MAY, "the asset carries an AgentIdentity: delegates can execute") \
	F(M, BOOL, execute_frozen, 0, 1, MAY, "the asset's own plugins block ExecuteV1: nothing can be spent") \
	F(M, LIST, delegates, 0, 64, MAY, "execution delegates, of every node's word") \
	F(M, BOOL, more_delegates, 0, 1, MAY, "there are more") \
	F(M, UINT, nodes, 1, 8, MUST, "that were asked for delegates") \
	F(M, UINT, hot_lamports, 0, UINT64_MAX, MAY, "of the hot wallet: one node's word")

/* The operations and their fields; the others have to be absent:
 *	transfer_sol		to, amount (lamports) or all
 *	transfer_token		mint, to (a wallet, whose associated account is created if missing), amount (smallest unit) or all; account (of the wallet's;
 *				absent: the associated one). An SPL NFT: amount 1
 *	transfer_nft		nft, to: a Metaplex Core asset that the wallet holds
 *	close_accounts		keys: empty token accounts; their rent goes to the wallet
 *	revoke_delegate		record (an execution delegate's) or account (a token account's delegate)
 *	instructions		instructions, metas: each is put into an ExecuteV1; dangerous, and a fresh signature for the act raw_instructions */
#define wallet_build_REQ(F, M) \
	F(M, STR, token, 1, 4096, SECRET, "session of the owner") \
	F(M, STR, operation, 1, 20, MUST, "see above") \
	F(M, STR, to, 0, 44, MAY, "base58 address of the recipient") \
	F(M, UINT, amount, 0, UINT64_MAX, MAY, "lamports, or the mint's smallest unit") \
	F(M, BOOL, all, 0, 1, MAY, "all there is instead of amount") \
	F(M, STR, mint, 0, 44, MAY, "base58 address") \
	F(M, STR, account, 0, 44, MAY, "base58 address of a token account of the wallet's") \
	F(M, STR, nft, 0, 44, MAY, "base58 address of a Core asset") \
	F(M, STR, record, 0, 44, MAY, "base58 address of an ExecutionDelegateRecord") \
	F(M, LIST, keys, 0, 8, MAY, "token accounts to close") \
	F(M, LIST, instructions, 0, 4, MAY, "raw") \
	F(M, LIST, metas, 0, 40, MAY, "their accounts, one after the other") \
	F(M, BOOL, allow_off_curve, 0, 1, MAY, "the recipient may be a program's address: nobody has its key") \
	F(M, BOOL, dangerous, 0, 1, MAY, "raw instructions can give the wallet away") \
	F(M, STR, nonce, 0, 64, MAY, "raw: as issued by auth.challenge for the act raw_instructions") \
	F(M, BIN, signature, 0, 64, MAY, "raw: Ed25519, by the session's wallet") \
	F(M, BIN, signed_message, 0, 2048, MAY, "raw: the bytes that were signed, if the wallet wrapped the text") \
	F(M, STR, ip, 0, 45, MAY, "raw: client's address, as nginx saw it")
#define wallet_build_RSP(F, M) \
	F(M, STR, id, WALLET_ID_LEN, WALLET_ID_LEN, MUST, "hex, of the operation") \
	F(M, BIN, transaction, 1, CHAIN_TRANSACTION_MAX, MUST, "unsigned, for the owner alone to sign") \
	F(M, LIST, lines, 1, 80, MUST, "what it does, from these bytes; make them anew before signing") \
	F(M, BOOL, warning, 0, 1, MAY, "any line is one") \
	F(M, UINT, fee_lamports, 0, UINT64_MAX, MUST, "the network's fee, paid by the owner") \
	F(M, UINT, execute_lamports, 0, UINT64_MAX, MAY, "what Metaplex Core takes for ExecuteV1, paid by the owner") \
	F(M, UINT, rent_lamports, 0, UINT64_MAX, MAY, "for accounts that are created, paid by the owner; at least") \
	F(M, STR, sim_node, 4, 8, MUST, "passes, fails or none (no node ran it): what one node says") \
	F(M, STR, sim_error, 0, CHAIN_ERROR_MAX, MAY, "how it fails, as that node says") \
	F(M, STR, sim_why, 0, 40, MAY, "why no node ran it") \
	F(M, UINT, sim_slot, 0, UINT64_MAX, MAY, "of the state that node ran it on") \
	F(M, UINT, sim_units, 0, UINT64_MAX, MAY, "compute units, as that node says") \
	F(M, STR, sim_logs, 0, 8000, MAY, "that node's log, one line each: hostile text") \
	F(M, UINT, last_valid, 0, UINT64_MAX, MUST, "the last block height it can land at") \
	F(M, UINT, height, 0, UINT64_MAX, MUST, "the block height when it was built") \
	F(M, UINT, expires_ms, 1, UINT64_MAX, MUST, "Unix milliseconds; unsigned, it is forgotten then")

#define WALLET_STATE(F, M) \
	F(M, STR, state, 4, 9, MUST, "built, sent, confirmed, finalized, expired or failed") \
	F(M, STR, signature, 0, 88, MAY, "base58, once sent; by it anybody finds the transaction") \
	F(M, STR, error, 0, CHAIN_ERROR_MAX, MAY, "failed: how. sent: how the nodes' preflight failed at last; it may still land") \
	F(M, UINT, slot, 0, UINT64_MAX, MAY, "it landed in") \
	F(M, STR, least, 0, 9, MAY, "once sent, at the last look: so far it is by every node's word (none, processed, confirmed, finalized)") \
	F(M, STR, most, 0, 9, MAY, "so far it is by any node's word") \
	F(M, BOOL, differ, 0, 1, MAY, "nodes contradict each other") \
	F(M, UINT, last_valid, 0, UINT64_MAX, MUST, "the last block height it can land at") \
	F(M, UINT, built_ms, 1, UINT64_MAX, MUST, "Unix milliseconds") \
	F(M, UINT, sent_ms, 0, UINT64_MAX, MAY, "Unix milliseconds: accepted and stored")

#define wallet_submit_REQ(F, M) \
	F(M, STR, token, 1, 4096, SECRET, "session of the owner") \
	F(M, STR, id, WALLET_ID_LEN, WALLET_ID_LEN, MUST, "of the operation") \
	F(M, BIN, transaction, 1, CHAIN_TRANSACTION_MAX, MUST, "signed; the wallet may have added compute budget instructions")
#define wallet_submit_RSP WALLET_STATE_OF
#define wallet_status_REQ(F, M) \
	F(M, STR, token, 1, 4096, SECRET, "session of the owner") \
	F(M, STR, id, WALLET_ID_LEN, WALLET_ID_LEN, MUST, "of the operation")
#define wallet_status_RSP WALLET_STATE_OF
#define WALLET_STATE_OF(F, M) \
	F(M, STR, operation, 1, 20, MUST, "as asked for") \
	WALLET_STATE(F, M)

#define wallet_recent_REQ(F, M) \
	F(M, STR, token, 1, 4096, SECRET, "session of the owner") \
	F(M, UINT, limit, 1, 50, MUST, "how many at most") \
	F(M, STR, before, 0, 88, MAY, "a signature: only older ones")
#define wallet_recent_RSP(F, M) \
	F(M, LIST, recents, 0, 50, MAY, "transactions that name the wallet, newest first, whoever sent them: one node's word")

#define WALLET_CALLS(C) \
	C(wallet, show, ROLE_ROUTER, READ, "The agent's wallet: balance, tokens, and whether somebody else can spend from it.") \
	C(wallet, build, ROLE_ROUTER, ONCE, "Compose and explain a transaction for the owner to sign.") \
	C(wallet, submit, ROLE_ROUTER, ONCE, "Check what the owner signed, keep it, send it until it lands or cannot any more. The same bytes again: the same answer.") \
	C(wallet, status, ROLE_ROUTER, READ, "What became of an operation.") \
	C(wallet, recent, ROLE_ROUTER, READ, "The latest transactions of the wallet.")
WALLET_CALLS(PROTO_DECLARE)
/* clang-format on */

#endif
