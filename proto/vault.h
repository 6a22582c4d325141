/* vault - calls served by services/secret-vault: keeps credentials sealed, hands them to a starting container and to nobody else. */
#ifndef PROTO_VAULT_H
#define PROTO_VAULT_H

#include "common/schema.h"

#define VAULT_VALUE_MAX 65536
#define VAULT_SECRETS_MAX 1000  /* of one owner */
#define VAULT_PAGE_BYTES 196608 /* of files in one reply: a frame holds 256 KiB */
#define VAULT_GRANT_MS 30000
#define VAULT_BOOT_ID_LEN 32 /* hex of 128 random bits, made for each start of a container */
#define VAULT_VOLUME_KEY_LEN 32
#define VAULT_SNAPSHOT_KEY_LEN 32
#define VAULT_DIGEST_LEN 32

/* clang-format off */
#define VAULT_NAME(F, M) \
	F(M, STR, kind, 1, 8, MUST, "llm, bot or custom") \
	F(M, STR, name, 1, 64, MUST, "[a-z0-9_-]")

/* ---- the owner's own, with the owner's session, which the vault checks with session itself ---- */

#define vault_put_REQ(F, M) \
	F(M, STR, token, 1, 4096, SECRET, "session of the owner") \
	VAULT_NAME(F, M) \
	F(M, BIN, value, 0, VAULT_VALUE_MAX, MAY_SECRET, "UTF-8 without NUL; empty is refused") \
	F(M, STR, delivery, 0, 7, MAY, "of kind llm alone: gateway (absent: the same), whose key is in no container; or file")
#define vault_put_RSP(F, M) \
	F(M, UINT, version, 1, UINT64_MAX, MUST, "of this value")

#define secrets_ITEM(F, M) \
	F(M, STR, kind, 1, 8, MUST, "llm, bot, custom or wallet") \
	F(M, STR, name, 1, 64, MUST, "of the secret") \
	F(M, STR, preview, 0, 32, MAY, "8 characters at most, a quarter of the value at most, none under 20 characters") \
	F(M, STR, delivery, 0, 7, MAY, "of kind llm: gateway or file") \
	F(M, UINT, version, 1, UINT64_MAX, MUST, "grows with each change") \
	F(M, UINT, updated_ms, 1, UINT64_MAX, MUST, "Unix milliseconds")
PROTO_ITEM(secrets)
#define vault_list_REQ(F, M) \
	F(M, STR, token, 1, 4096, SECRET, "session of the owner")
#define vault_list_RSP(F, M) \
	F(M, LIST, secrets, 0, VAULT_SECRETS_MAX, MUST, "of the present ownership period, by kind and name")

#define vault_delete_REQ(F, M) \
	F(M, STR, token, 1, 4096, SECRET, "session of the owner") \
	VAULT_NAME(F, M)
#define vault_delete_RSP(F, M) \
	F(M, BOOL, existed, 0, 1, MUST, "false: there was none")

#define providers_ITEM(F, M) \
	F(M, STR, provider, 1, 64, MUST, "as in the data file of providers") \
	F(M, STR, source, 4, 6, MUST, "user, global or none") \
	F(M, STR, own, 3, 7, MUST, "the owner's own: set, deleted or none") \
	F(M, STR, preview, 0, 32, MAY, "of the owner's own; nothing of a global one is shown") \
	F(M, STR, delivery, 0, 7, MAY, "of the key that it comes from: gateway or file; absent: there is none")
PROTO_ITEM(providers)
#define vault_resolve_REQ(F, M) \
	F(M, STR, token, 1, 4096, SECRET, "session of the owner")
#define vault_resolve_RSP(F, M) \
	F(M, LIST, providers, 0, 128, MUST, "every known provider, in the data file's order")

#define entries_ITEM(F, M) \
	F(M, STR, chain, 1, 128, MUST, "asset/wallet/slot of the ownership period, or global") \
	F(M, UINT, seq, 1, UINT64_MAX, MUST, "1, 2, ... within the chain") \
	F(M, UINT, at_ms, 1, UINT64_MAX, MUST, "Unix milliseconds") \
	F(M, STR, act, 1, 16, MUST, "what was done: see services/secret-vault/README.md") \
	F(M, STR, by, 1, 96, MUST, "who: owner, sandbox, operator or vault, and its key") \
	F(M, STR, kind, 0, 8, MAY, "of the secret") \
	F(M, STR, name, 0, 64, MAY, "of the secret") \
	F(M, UINT, version, 0, UINT64_MAX, MAY, "of the secret") \
	F(M, STR, detail, 0, 160, MAY, "boot id, key id, reason: never of a value") \
	F(M, BIN, prev, 32, 32, MUST, "hash of the entry before; zeros before the first") \
	F(M, BIN, hash, 32, 32, MUST, "of this entry: common/audit.h") \
	F(M, UINT, all_seq, 0, UINT64_MAX, MAY, "its place among the entries of all chains; not in an owner's copy") \
	F(M, BIN, all_hash, 0, 32, MAY, "head of all chains with this entry; not in an owner's copy")
PROTO_ITEM(entries)
#define vault_audit_REQ(F, M) \
	F(M, STR, token, 1, 4096, SECRET, "session of the owner") \
	F(M, UINT, after, 0, UINT64_MAX, MUST, "seq of the last entry known; 0: from the beginning")
#define vault_audit_RSP(F, M) \
	F(M, LIST, entries, 0, 100, MUST, "what comes next in the chain of the present ownership period; all_seq and all_hash are not shown") \
	F(M, UINT, head_seq, 0, UINT64_MAX, MUST, "of the chain's newest entry") \
	F(M, BIN, head, 32, 32, MUST, "its hash")

#define vault_generate_REQ(F, M) \
	F(M, STR, token, 1, 4096, SECRET, "session of the owner") \
	F(M, STR, nonce, 1, 64, MUST, "as issued by auth.challenge for the act hot_wallet") \
	F(M, BIN, signature, 64, 64, MUST, "Ed25519, by the session's wallet") \
	F(M, BIN, signed_message, 0, 2048, MAY, "the bytes that were signed, if the wallet wrapped the text") \
	F(M, BIN, recipient, 0, 32, MAY, "X25519 public key to seal the answer to") \
	F(M, STR, ip, 2, 45, MUST, "client's address, as nginx saw it")
#define vault_generate_RSP(F, M) \
	F(M, STR, address, 32, 44, MUST, "base58 public key") \
	F(M, BIN, secret, 0, 64, MAY_SECRET, "Ed25519 seed and public key; without a recipient") \
	F(M, BIN, sealed, 0, 112, MAY, "the same by crypto_box_seal to the recipient")
#define vault_hot_REQ(F, M) \
	F(M, STR, token, 1, 4096, SECRET, "session of the owner")
#define vault_hot_RSP(F, M) \
	F(M, STR, address, 0, 44, MAY, "base58 public key; absent: none was generated") \
	F(M, UINT, created_ms, 0, UINT64_MAX, MAY, "Unix milliseconds")

/* ---- a starting container ---- */

#define vault_grant_REQ(F, M) \
	F(M, STR, token, 1, 4096, SECRET, "session of the owner") \
	F(M, STR, boot_id, VAULT_BOOT_ID_LEN, VAULT_BOOT_ID_LEN, MUST, "hex, of this start") \
	F(M, STR, host_key, 40, 40, MUST, "Z85 public key of the sandbox that may use it")
#define vault_grant_RSP(F, M) \
	F(M, BIN, grant, 1, 256, SECRET, "to be shown to vault.materialise by that host") \
	F(M, UINT, expires_ms, 1, UINT64_MAX, MUST, "Unix milliseconds; 30 s from now")

#define files_ITEM(F, M) \
	F(M, STR, path, 1, 128, MUST, "relative to the secrets' folder") \
	F(M, UINT, mode, 0, 511, MUST, "permission bits") \
	F(M, UINT, size, 0, VAULT_VALUE_MAX, MUST, "bytes of it in bytes, one file after the other")
PROTO_ITEM(files)
#define vault_materialise_REQ(F, M) \
	F(M, BIN, grant, 1, 256, SECRET, "from vault.grant; of the calling host's key") \
	F(M, STR, boot_id, VAULT_BOOT_ID_LEN, VAULT_BOOT_ID_LEN, MUST, "that the grant names") \
	F(M, UINT, page, 0, 65535, MUST, "0, then next of the reply before") \
	F(M, STR, after, 0, 128, MAY, "with page above 0: path of the last file received, so that what changes meanwhile shifts nothing") \
	F(M, STR, gateway_key, 0, 40, MAY, "with page 0: Z85 public key of this host's llm-gateway; absent: it has none")
#define vault_materialise_RSP(F, M) \
	F(M, STR, asset, 32, 44, MUST, "that the grant names") \
	F(M, STR, wallet, 32, 44, MUST, "the owner") \
	F(M, UINT, slot, 0, UINT64_MAX, MUST, "of proof: with asset and wallet, what the host holds") \
	F(M, LIST, files, 0, 64, MUST, "of this page") \
	F(M, BIN, bytes, 0, VAULT_PAGE_BYTES, MAY_SECRET, "of all of them") \
	F(M, LIST, providers, 0, 128, MUST, "page 0: where each provider's key comes from, and how it is delivered; those of the gateway are no files") \
	F(M, UINT, period, 0, UINT64_MAX, MAY, "page 0: slot of the ownership period, which names the volume") \
	F(M, BIN, volume_key, 0, VAULT_VOLUME_KEY_LEN, MAY_SECRET, "page 0: of the period's volume; derived from its data key, gone with it") \
	F(M, BIN, placement, 0, 256, MAY_SECRET, "page 0: for vault.regrant, of this host's key") \
	F(M, BIN, snapshot_key, 0, VAULT_SNAPSHOT_KEY_LEN, MAY_SECRET, "page 0: of the period's snapshots; derived from its data key, gone with it") \
	F(M, UINT, snapshot, 0, UINT64_MAX, MAY, "page 0: number of the period's newest snapshot; 0: there is none") \
	F(M, BIN, snapshot_digest, 0, VAULT_DIGEST_LEN, MAY, "page 0: of its manifest, as vault.keep was told") \
	F(M, BIN, handed_key, 0, VAULT_SNAPSHOT_KEY_LEN, MAY_SECRET, "page 0: opens what the owner before handed over; absent: nothing, or the sale is not final yet") \
	F(M, BIN, handed_digest, 0, VAULT_DIGEST_LEN, MAY, "page 0: of its manifest") \
	F(M, STR, handed_wallet, 0, 44, MAY, "page 0: who handed it over") \
	F(M, BIN, gateway_grant, 0, 256, MAY_SECRET, "page 0: for vault.use, of the key that was named") \
	F(M, UINT, next, 0, 65535, MAY, "page to ask for next; absent: that was all")

#define vault_regrant_REQ(F, M) \
	F(M, BIN, placement, 1, 256, SECRET, "from an earlier vault.materialise, of the calling host's key") \
	F(M, STR, boot_id, VAULT_BOOT_ID_LEN, VAULT_BOOT_ID_LEN, MUST, "hex, of this start")
#define vault_regrant_RSP vault_grant_RSP

#define vault_note_REQ(F, M) \
	F(M, BIN, placement, 1, 256, SECRET, "as above: whose audit trail") \
	F(M, STR, act, 1, 16, MUST, "exec") \
	F(M, STR, detail, 0, 160, MAY, "who and what")
#define vault_note_RSP PROTO_EMPTY

/* Which snapshot is the newest is known here, not on the host and not in the object storage: what they show that is older is refused. Snapshots of a period are
 * numbered 1, 2, ...; one that was not made from the newest state is refused (conflict, snapshot_overtaken), so of two hosts only one goes on. */
#define vault_keep_REQ(F, M) \
	F(M, BIN, placement, 1, 256, SECRET, "from vault.materialise, of the calling host's key; its period has to be the present one") \
	F(M, UINT, base, 0, UINT64_MAX, MUST, "number of the snapshot that the files were restored from, or saved as, last; 0: none") \
	F(M, BIN, digest, VAULT_DIGEST_LEN, VAULT_DIGEST_LEN, MUST, "BLAKE2b-256 of the stored manifest of snapshot base + 1")
#define vault_keep_RSP(F, M) \
	F(M, UINT, snapshot, 1, UINT64_MAX, MUST, "base + 1; the same again when the same is told again")

#define vault_hand_over_REQ(F, M) \
	F(M, BIN, placement, 1, 256, SECRET, "as above") \
	F(M, BIN, key, 0, VAULT_SNAPSHOT_KEY_LEN, MAY_SECRET, "that opens it; absent: nothing is handed over any more, or what was is not wanted") \
	F(M, BIN, digest, 0, VAULT_DIGEST_LEN, MAY, "of its manifest")
#define vault_hand_over_RSP PROTO_EMPTY

/* A key that is used on the host and never put into a container. */
#define vault_use_REQ(F, M) \
	F(M, BIN, grant, 1, 256, SECRET, "gateway_grant of vault.materialise, of the calling gateway's key; its period has to be the present one") \
	F(M, STR, provider, 1, 64, MUST, "as in the data file of providers")
#define vault_use_RSP(F, M) \
	F(M, STR, source, 4, 6, MUST, "user, global or none") \
	F(M, STR, own, 3, 7, MUST, "the owner's own: set, deleted or none") \
	F(M, UINT, version, 0, UINT64_MAX, MAY, "of the key; absent: there is none") \
	F(M, BIN, key, 0, VAULT_VALUE_MAX, MAY_SECRET, "absent: there is none")

/* ---- operators ---- */

#define vault_state_REQ PROTO_EMPTY
#define vault_state_RSP(F, M) \
	F(M, STR, state, 1, 16, MUST, "opening, sealed, foreign, unmarked, catching_up, open") \
	F(M, STR, why, 0, 160, MAY, "in words") \
	F(M, STR, store, 1, 16, MUST, "sqlite or postgres") \
	F(M, STR, key_id, 0, 16, MAY, "hex; of the master key in use") \
	F(M, STR, next_key_id, 0, 16, MAY, "hex; of the one that a rotation leads to") \
	F(M, UINT, periods, 0, UINT64_MAX, MUST, "ownership periods with a data key") \
	F(M, UINT, rewrapped, 0, UINT64_MAX, MUST, "of them under the next key") \
	F(M, UINT, locked, 0, UINT64_MAX, MUST, "of them sealed, to be erased once the transfer is finalized") \
	F(M, BOOL, breaker, 0, 1, MUST, "too many erasures were due: nothing is erased until it is reset") \
	F(M, UINT, head_seq, 0, UINT64_MAX, MUST, "of the newest audit entry of all chains") \
	F(M, BIN, head, 0, 32, MAY, "its head")
#define vault_unseal_REQ(F, M) \
	F(M, STR, passphrase, 0, 1024, MAY_SECRET, "where the master key comes from one") \
	F(M, BOOL, adopt, 0, 1, MAY, "take the store's versions as they are: the high-water marks are new or lost")
#define vault_unseal_RSP vault_state_RSP
#define vault_rotate_REQ(F, M) \
	F(M, STR, passphrase, 0, 1024, MAY_SECRET, "the next one, where the master key comes from one; else the next key's file is read")
#define vault_rotate_RSP vault_state_RSP
#define vault_global_put_REQ(F, M) \
	F(M, STR, provider, 1, 64, MUST, "as in the data file of providers") \
	F(M, BIN, value, 0, VAULT_VALUE_MAX, MAY_SECRET, "UTF-8 without NUL; empty is refused")
#define vault_global_put_RSP vault_put_RSP
#define vault_global_list_REQ PROTO_EMPTY
#define vault_global_list_RSP vault_list_RSP
#define vault_global_delete_REQ(F, M) \
	F(M, STR, provider, 1, 64, MUST, "as in the data file of providers")
#define vault_global_delete_RSP vault_delete_RSP
#define vault_destroy_owner_REQ(F, M) \
	F(M, STR, asset, 32, 44, MUST, "base58 address") \
	F(M, STR, wallet, 32, 44, MUST, "whose data keys for it are destroyed, owner or not")
#define vault_destroy_owner_RSP(F, M) \
	F(M, UINT, periods, 0, UINT64_MAX, MUST, "ownership periods destroyed")
#define vault_reinstate_REQ(F, M) \
	F(M, STR, asset, 32, 44, MUST, "base58 address") \
	F(M, STR, wallet, 32, 44, MUST, "who owns it at finalized, and whose locked period opens again")
#define vault_reinstate_RSP(F, M) \
	F(M, UINT, slot, 0, UINT64_MAX, MUST, "from which it is proven now")
#define vault_reset_breaker_REQ PROTO_EMPTY
#define vault_reset_breaker_RSP vault_state_RSP
#define vault_export_REQ(F, M) \
	F(M, UINT, after, 0, UINT64_MAX, MUST, "all_seq of the last entry known")
#define vault_export_RSP(F, M) \
	F(M, LIST, entries, 0, 100, MUST, "what comes next, of all chains") \
	F(M, UINT, head_seq, 0, UINT64_MAX, MUST, "newest of all") \
	F(M, BIN, head, 32, 32, MUST, "its head")

#define VAULT_CALLS(C) \
	C(vault, put, ROLE_ROUTER, ONCE, "Seal a secret of the owner under a name; replaces what was there.") \
	C(vault, list, ROLE_ROUTER, READ, "The owner's secrets, redacted.") \
	C(vault, delete, ROLE_ROUTER, ONCE, "Destroy a secret of the owner.") \
	C(vault, resolve, ROLE_ROUTER, READ, "Where each provider's key would come from: user, global, none.") \
	C(vault, audit, ROLE_ROUTER, READ, "The owner's audit chain.") \
	C(vault, generate, ROLE_ROUTER, ONCE, "Make the hot wallet, once ever; its secret is in this one reply.") \
	C(vault, hot, ROLE_ROUTER, READ, "The hot wallet's address.") \
	C(vault, grant, ROLE_ROUTER | ROLE_SANDBOX, ONCE, "Let one host (a sandbox: itself) materialise for one start of the owner's container.") \
	C(vault, regrant, ROLE_SANDBOX, ONCE, "The same for a start without the owner: after a crash, on a webhook. The period has to be the present one.") \
	C(vault, note, ROLE_SANDBOX, ONCE, "Say in the owner's audit trail what an operator did in the container.") \
	C(vault, keep, ROLE_SANDBOX, ONCE, "Another snapshot is the period's newest.") \
	C(vault, hand_over, ROLE_SANDBOX, ONCE, "What the next owner may take over, by the owner's word; or nothing, or not wanted.") \
	C(vault, use, ROLE_GATEWAY, READ, "A provider's key, for the gateway of the host that has the agent: the owner's own, else the global one.") \
	C(vault, materialise, ROLE_SANDBOX, READ, "The files that a starting container needs.") \
	C(vault, state, ROLE_OPERATOR_READ | ROLE_OPERATOR_VAULT, READ, "What the vault is doing.") \
	C(vault, unseal, ROLE_OPERATOR_VAULT, ONCE, "Open a sealed vault.") \
	C(vault, rotate, ROLE_OPERATOR_VAULT, ONCE, "Begin or go on with a change of the master key; answers how far it is.") \
	C(vault, global_put, ROLE_OPERATOR_VAULT, ONCE, "Seal a key that all agents may use through the gateway.") \
	C(vault, global_list, ROLE_OPERATOR_VAULT, READ, "The global keys, redacted.") \
	C(vault, global_delete, ROLE_OPERATOR_VAULT, ONCE, "Destroy a global key.") \
	C(vault, destroy_owner, ROLE_OPERATOR_VAULT, ONCE, "Destroy what a wallet keeps for an asset.") \
	C(vault, reinstate, ROLE_OPERATOR_VAULT, ONCE, "Open a period that was locked by a wrong reading; the chain has to agree at finalized.") \
	C(vault, reset_breaker, ROLE_OPERATOR_VAULT, ONCE, "Let erasing go on.") \
	C(vault, export, ROLE_OPERATOR_VAULT, READ, "The audit entries of all chains.")
VAULT_CALLS(PROTO_DECLARE)
/* clang-format on */

#endif
