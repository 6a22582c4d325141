/* chain - calls served by services/chain-oracle to agent-wallet: accounts, tokens and transactions, at confirmed where nothing else is said.
 *
 * What is answered is what nodes say, and nodes can lie. Three kinds, named at each call:
 *	one node	the first healthy one that answers. It can forge all of it: for showing, and for composing what the owner reads before signing.
 *	every node	all healthy ones are asked; `nodes` of them answered, `silent` of them did not, `of` are configured (and not known to be of
 *			another chain). Fields say what all that answered say, and what any of them says. That is every node's word only if enough of
 *			them answered: who needs it so that no single one of several can make a transaction look landed, or lost, or hide what is
 *			known to another, asks chain_is_vouched. With one node configured, its word is the only one there is.
 *	relayed		given to every node of our chain, healthy or not.
 * No answer is older than mc:chain, or than min_slot where the call has one; slots from the future set the node aside.
 *
 * A failed transaction is told in words: "" (it did not fail), or the name of Solana's TransactionError with what it carries, such as
 * "BlockhashNotFound", "InsufficientFundsForRent 3" (index of the account), "InstructionError 2 InvalidArgument", "InstructionError 2 Custom 26"
 * (index of the instruction; the program's code), "Unknown" for anything that is not of that form. Letters, digits and single spaces only.
 *
 * Refusals: invalid (address_invalid, signature_invalid: not base58 of that size; tx_*: not a transaction, as common/solana_tx.h says; refused_by_node: the node's -32600, -32602, -32013, -32015; signature_wrong:
 * -32003); busy (too many under way); unavailable with chain_unavailable (no healthy node, no answer, another error),
 * chain_behind (-32016: no node has reached the slot), chain_limited (429 in any shape), not_served (403, -32601, -32010), too_much (the
 * answer is longer than is read), service_unavailable.
 */
#ifndef PROTO_CHAIN_H
#define PROTO_CHAIN_H

#include "common/schema.h"

#define CHAIN_TRANSACTION_MAX 1232 /* bytes: one packet */
#define CHAIN_ERROR_MAX 120
/* Blocks a blockhash lives, from the one it was the latest of (Agave, MAX_PROCESSING_AGE). */
#define CHAIN_BLOCKHASH_LIFE 150
/* Blocks for which nodes know what became of a transaction without searching their history (Agave, MAX_RECENT_BLOCKHASHES). */
#define CHAIN_STATUS_BLOCKS 300

/* Did two nodes answer, or the only one that is configured? */
static inline bool chain_is_vouched(uint64_t nodes, uint64_t of)
{
	return nodes >= (of < 2 ? 1 : 2);
}

/* clang-format off */
#define keys_ITEM(F, M) \
	F(M, STR, key, 32, 44, MUST, "base58 address")
PROTO_ITEM(keys)
#define signatures_ITEM(F, M) \
	F(M, STR, signature, 64, 88, MUST, "base58")
PROTO_ITEM(signatures)
#define accounts_ITEM(F, M) \
	F(M, BOOL, exists, 0, 1, MUST, "if not, the rest is zero") \
	F(M, UINT, lamports, 0, UINT64_MAX, MAY, "its balance") \
	F(M, STR, owner, 0, 44, MAY, "the program that owns it, base58") \
	F(M, BOOL, executable, 0, 1, MAY, "it is a program") \
	F(M, UINT, space, 0, UINT64_MAX, MAY, "size of the account, however much of it came; 2^64-1: not said") \
	F(M, BIN, data, 0, 1024, MAY, "its beginning")
PROTO_ITEM(accounts)
#define sizes_ITEM(F, M) \
	F(M, UINT, size, 0, 10485760, MUST, "bytes of data")
PROTO_ITEM(sizes)
#define rents_ITEM(F, M) \
	F(M, UINT, lamports, 0, UINT64_MAX, MUST, "that exempt it from rent")
PROTO_ITEM(rents)
#define holdings_ITEM(F, M) \
	F(M, STR, account, 32, 44, MUST, "the token account") \
	F(M, STR, mint, 32, 44, MUST, "of what token") \
	F(M, BOOL, token_2022, 0, 1, MAY, "its program: Token-2022 instead of Token") \
	F(M, UINT, amount, 0, UINT64_MAX, MAY, "in the mint's smallest unit") \
	F(M, BOOL, mint_known, 0, 1, MAY, "the mint is one of that program") \
	F(M, UINT, decimals, 0, 255, MAY, "of a known mint") \
	F(M, BOOL, frozen, 0, 1, MAY, "nothing moves it till its mint's authority thaws it") \
	F(M, BOOL, wrapped, 0, 1, MAY, "wrapped SOL: the amount is lamports of the account itself") \
	F(M, UINT, lamports, 0, UINT64_MAX, MAY, "its balance") \
	F(M, STR, delegate, 0, 44, MAY, "who may move delegated of it besides the owner") \
	F(M, UINT, delegated, 0, UINT64_MAX, MAY, "how much") \
	F(M, STR, closer, 0, 44, MAY, "close authority, if it is not the owner")
PROTO_ITEM(holdings)
#define records_ITEM(F, M) \
	F(M, STR, record, 32, 44, MUST, "address of the ExecutionDelegateRecordV1; check its seeds") \
	F(M, STR, profile, 32, 44, MUST, "the executive's profile") \
	F(M, STR, authority, 32, 44, MUST, "who may execute") \
	F(M, UINT, lamports, 0, UINT64_MAX, MUST, "its balance")
PROTO_ITEM(records)
#define states_ITEM(F, M) \
	F(M, STR, least, 4, 9, MUST, "none, processed, confirmed or finalized: so far it is by every node's word") \
	F(M, STR, most, 4, 9, MUST, "by any node's word; more than least: they differ, or some lag") \
	F(M, UINT, slot, 0, UINT64_MAX, MAY, "it landed in, by the word of the node that says most") \
	F(M, STR, error, 0, CHAIN_ERROR_MAX, MAY, "how it failed, by that word") \
	F(M, BOOL, differ, 0, 1, MAY, "nodes that know it name another slot at confirmed, or another error: one of them lies")
PROTO_ITEM(states)
#define recents_ITEM(F, M) \
	F(M, STR, signature, 64, 88, MUST, "base58") \
	F(M, UINT, slot, 0, UINT64_MAX, MUST, "it is in") \
	F(M, UINT, at, 0, UINT64_MAX, MAY, "Unix seconds; 0: not said") \
	F(M, STR, error, 0, CHAIN_ERROR_MAX, MAY, "how it failed")
PROTO_ITEM(recents)
#define relays_ITEM(F, M) \
	F(M, STR, outcome, 2, 24, MUST, "accepted; already: it landed; refused: the preflight failed, error says how; signature, malformed: it says the bytes are bad; other_signature: it names another transaction; behind limited not_served failed broken unreachable") \
	F(M, STR, error, 0, CHAIN_ERROR_MAX, MAY, "of the preflight")
PROTO_ITEM(relays)

#define chain_blockhash_REQ PROTO_EMPTY
#define chain_blockhash_RSP(F, M) \
	F(M, STR, blockhash, 32, 44, MUST, "the latest, of the first node") \
	F(M, UINT, last_valid, 0, UINT64_MAX, MUST, "the last block height it is good for: the highest that a node names") \
	F(M, UINT, height, 0, UINT64_MAX, MUST, "the block height now: the lowest that a node names") \
	F(M, UINT, slot, 0, UINT64_MAX, MUST, "of the first node") \
	F(M, UINT, nodes, 1, 8, MUST, "that answered") \
	F(M, UINT, of, 0, 8, MUST, "that are configured")

#define chain_account_REQ(F, M) \
	F(M, STR, key, 32, 44, MUST, "base58 address") \
	F(M, UINT, data_max, 0, 65536, MUST, "bytes of it that are wanted") \
	F(M, UINT, min_slot, 0, UINT64_MAX, MAY, "the reading has to reach")
#define chain_account_RSP(F, M) \
	F(M, UINT, slot, 0, UINT64_MAX, MUST, "of the reading") \
	F(M, BOOL, exists, 0, 1, MUST, "if not, the rest is zero") \
	F(M, UINT, lamports, 0, UINT64_MAX, MAY, "its balance") \
	F(M, STR, owner, 0, 44, MAY, "the program that owns it, base58") \
	F(M, BOOL, executable, 0, 1, MAY, "it is a program") \
	F(M, UINT, space, 0, UINT64_MAX, MAY, "size of the account, however much of it came; 2^64-1: not said") \
	F(M, BIN, data, 0, 65536, MAY, "its beginning")

#define chain_accounts_REQ(F, M) \
	F(M, LIST, keys, 1, 100, MUST, "which accounts") \
	F(M, UINT, data_max, 0, 1024, MUST, "bytes of each that are wanted") \
	F(M, UINT, min_slot, 0, UINT64_MAX, MAY, "the reading has to reach")
#define chain_accounts_RSP(F, M) \
	F(M, UINT, slot, 0, UINT64_MAX, MUST, "of the reading, the same for all") \
	F(M, LIST, accounts, 1, 100, MUST, "in the order of the keys")

#define chain_rent_REQ(F, M) \
	F(M, LIST, sizes, 1, 16, MUST, "which accounts")
#define chain_rent_RSP(F, M) \
	F(M, LIST, rents, 1, 16, MUST, "in the order of the sizes")

#define chain_tokens_REQ(F, M) \
	F(M, STR, owner, 32, 44, MUST, "base58 address") \
	F(M, UINT, min_slot, 0, UINT64_MAX, MAY, "the reading has to reach")
#define chain_tokens_RSP(F, M) \
	F(M, UINT, slot, 0, UINT64_MAX, MUST, "the lowest of the readings, one for each program and 99 mints") \
	F(M, BOOL, more, 0, 1, MAY, "there are more than fit; delegates and closers of wrapped SOL come first, then amounts") \
	F(M, LIST, holdings, 0, 256, MAY, "of Token and Token-2022")

#define chain_records_REQ(F, M) \
	F(M, STR, asset, 32, 44, MUST, "base58 address")
#define chain_records_RSP(F, M) \
	F(M, UINT, slot, 0, UINT64_MAX, MUST, "the lowest of the readings") \
	F(M, UINT, nodes, 1, 8, MUST, "that answered") \
	F(M, UINT, of, 0, 8, MUST, "that are configured") \
	F(M, BOOL, more, 0, 1, MAY, "there are more than fit") \
	F(M, LIST, records, 0, 64, MAY, "what any node names, each once: a forged one alarms, a hidden one needs every node that answered to lie")

#define chain_simulate_REQ(F, M) \
	F(M, BIN, transaction, 1, CHAIN_TRANSACTION_MAX, MUST, "signed or not: signatures are not looked at, the blockhash is replaced by the latest") \
	F(M, LIST, keys, 0, 16, MAY, "accounts to show as they would be afterwards") \
	F(M, UINT, min_slot, 0, UINT64_MAX, MAY, "of the state it is run on")
#define chain_simulate_RSP(F, M) \
	F(M, UINT, slot, 0, UINT64_MAX, MUST, "of the state it was run on") \
	F(M, STR, error, 0, CHAIN_ERROR_MAX, MAY, "how it would fail") \
	F(M, UINT, units, 0, UINT64_MAX, MAY, "compute units; 0: not said") \
	F(M, STR, logs, 0, 8000, MAY, "one line each, cut: hostile text without control characters") \
	F(M, LIST, accounts, 0, 16, MAY, "in the order of the keys; none if it would fail and the node leaves them out")

#define chain_send_REQ(F, M) \
	F(M, BIN, transaction, 65, CHAIN_TRANSACTION_MAX, MUST, "signed; never changed") \
	F(M, BOOL, skip_preflight, 0, 1, MUST, "no: nodes run it first, at confirmed, and may refuse; yes: for sending the same bytes again")
#define chain_send_RSP(F, M) \
	F(M, STR, signature, 64, 88, MUST, "of the transaction, read from its own bytes: its first") \
	F(M, UINT, accepted, 0, 8, MUST, "nodes that took it or say it landed; which is no promise that it lands") \
	F(M, UINT, of, 0, 8, MUST, "nodes that are configured") \
	F(M, LIST, relays, 1, 8, MUST, "what each node did that answered in time")

#define chain_statuses_REQ(F, M) \
	F(M, LIST, signatures, 1, 256, MUST, "which transactions") \
	F(M, BOOL, history, 0, 1, MAY, "look beyond the last minutes: slower, and not every node serves it: one that does not has not answered")
#define chain_statuses_RSP(F, M) \
	F(M, UINT, nodes, 1, 8, MUST, "that answered") \
	F(M, UINT, silent, 0, 8, MAY, "healthy ones that did not") \
	F(M, UINT, of, 0, 8, MUST, "that are configured") \
	F(M, UINT, height, 0, UINT64_MAX, MUST, "block height: the lowest that a node names. Each node's states are not older than the height it named") \
	F(M, UINT, highest, 0, UINT64_MAX, MUST, "the highest") \
	F(M, LIST, states, 1, 256, MUST, "in the order of the signatures")

#define chain_recent_REQ(F, M) \
	F(M, STR, address, 32, 44, MUST, "base58") \
	F(M, UINT, limit, 1, 50, MUST, "how many at most") \
	F(M, STR, before, 0, 88, MAY, "a signature: only older ones")
#define chain_recent_RSP(F, M) \
	F(M, LIST, recents, 0, 50, MAY, "newest first")

#define CHAIN_CALLS(C) \
	C(chain, blockhash, ROLE_WALLET, READ, "Every node: the latest blockhash and the block height.") \
	C(chain, account, ROLE_WALLET, READ, "One node: an account.") \
	C(chain, accounts, ROLE_WALLET, READ, "One node: accounts, all in one slot.") \
	C(chain, rent, ROLE_WALLET, READ, "One node: what accounts of these sizes must hold.") \
	C(chain, tokens, ROLE_WALLET, READ, "One node: the token accounts of an owner.") \
	C(chain, records, ROLE_WALLET, READ, "Every node: the execution delegate records of an asset.") \
	C(chain, simulate, ROLE_WALLET, READ, "One node: what a transaction would do, as it says.") \
	C(chain, send, ROLE_WALLET, READ, "Relayed: give a signed transaction to every node; the same bytes again do no harm, and no node sends them again by itself.") \
	C(chain, statuses, ROLE_WALLET, READ, "Every node: the block height, and what became of transactions by then.") \
	C(chain, recent, ROLE_WALLET, READ, "One node: the latest transactions that name an address.")
CHAIN_CALLS(PROTO_DECLARE)
/* clang-format on */

#endif
