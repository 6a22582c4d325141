/* files - the secrets of one start, as warden takes them (proto/warden.h): a memfd, sealed when it is complete, so that nobody changes it under warden's
 * hands. What sandbox itself needs of them it takes out while they pass: the channels, the list of hosts, whether service workers are allowed, which
 * providers have a key at the gateway.
 */
#ifndef SANDBOX_FILES_H
#define SANDBOX_FILES_H

#include "common/providers.h"
#include "common/secret.h"
#include "proto/vault.h"
#include "services/sandbox/egress.h"

#define FILES_BYTES_MAX (64u << 20)

struct files;
struct files *files_new(void); /* caller owns the result */
void files_destroy(struct files **files);
/* The files of one page of vault.materialise. Its gateway-token is left out: sandbox gives its own. */
int files_add_page(
    struct files *files, const struct vault_materialise_rsp *page, struct error *err);
/* What this host adds. All is borrowed for the call. */
struct files_own {
	const char *token, *origin; /* of the agent's gateway, hex; the agent's origin */
	bool is_openclaw;           /* openclaw.json goes in, too */
	bool is_search; /* for finding secrets: tokens; what is no secret by name alone */
	const struct providers *providers; /* NULL: no llm-gateway */
	const char *llm_token;             /* hex; that it takes */
	const char *llm_address;           /* address:port */
};
/* Then sealed; borrowed until files_destroy. */
int files_finish(struct files *files, const struct files_own *own, int *fd_r, struct error *err);
int files_fd(const struct files *files); /* once it is finished; borrowed */
/* Path of the last one added, for the next page. */
const char *files_last(const struct files *files);
const struct egress *files_egress(const struct files *files);
/* What the owner's secret custom/snapshot-exclude leaves out of snapshots: paths below /data, by lines, packed as proto/warden.h has them. ERR_INVALID exclude_invalid: it is no such
 * list. excluded_r has WARDEN_ROOTS_BYTES. */
int files_excluded(const struct files *files, char *excluded_r, struct error *err);
/* The owner's secret custom/allow-service-workers says "yes". */
bool files_allows_workers(const struct files *files);

/* Tokens of one boot: made from the vault's placement and the boot id, so that a sandbox that was started anew knows them again without writing them down. One opens
 * the agent's own gateway, a port that only this host's proxy reaches; the other is good from the agent's own address alone, at this host's llm-gateway. */
#define BOOT_TOKEN_LEN 64
enum boot_token { BOOT_TOKEN_GATEWAY, BOOT_TOKEN_LLM };
struct secret *boot_token(
    enum boot_token which, const uint8_t *placement, size_t len, const char *boot);

#endif
