/* files - the secrets of one start, as warden takes them (proto/warden.h): a memfd, sealed when it is complete, so that nobody changes it under warden's
 * hands. What sandbox itself needs of them it takes out while they pass: the channels, the list of hosts, whether service workers are allowed.
 */
#ifndef SANDBOX_FILES_H
#define SANDBOX_FILES_H

#include "common/secret.h"
#include "proto/vault.h"
#include "services/sandbox/egress.h"

#define FILES_BYTES_MAX (64u << 20)

struct files;
struct files *files_new(void); /* caller owns the result */
void files_destroy(struct files **files);
/* The files of one page of vault.materialise. Its gateway-token is left out: sandbox gives its own (gateway_token.h). */
int files_add_page(
    struct files *files, const struct vault_materialise_rsp *page, struct error *err);
/* token: hex. origin: the agent's. is_openclaw: openclaw.json goes in, too. Then sealed; borrowed until files_destroy. */
int files_finish(struct files *files, const char *token, const char *origin, bool is_openclaw,
    int *fd_r, struct error *err);
int files_fd(const struct files *files); /* once it is finished; borrowed */
/* Path of the last one added, for the next page. */
const char *files_last(const struct files *files);
const struct egress *files_egress(const struct files *files);
/* What the owner's secret custom/snapshot-exclude leaves out of snapshots: paths below /data, by lines, packed as proto/warden.h has them. ERR_INVALID exclude_invalid: it is no such
 * list. excluded_r has WARDEN_ROOTS_BYTES. */
int files_excluded(const struct files *files, char *excluded_r, struct error *err);
/* The owner's secret custom/allow-service-workers says "yes". */
bool files_allows_workers(const struct files *files);

/* The token that an agent's gateway wants, of one boot: made from the vault's placement and the boot id, so that a sandbox that was started anew knows it
 * again without writing it down. It opens nothing but a port that only this host's proxy reaches. */
#define GATEWAY_TOKEN_LEN 64
struct secret *gateway_token(const uint8_t *placement, size_t len, const char *boot);

#endif
