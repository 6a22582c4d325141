/* vaults - an operator's calls to secret-vault: which replica, and messages that are too large for the stack and are wiped. */
#ifndef CLI_VAULTS_H
#define CLI_VAULTS_H

#include "proto/vault.h"
#include "services/cli/operator.h"

/* A passphrase's key takes a second, more on a busy machine. */
#define VAULTS_CALL_MS 60000

struct vaults_call {
	const struct proto_call *call;
	void *req, *rsp; /* of the call's sizes, zeroed */
};
void vaults_call_new(struct vaults_call *call_r, const struct proto_call *call);
void vaults_call_wipe(struct vaults_call *call);
#define scoped_vaults_call __attribute__((cleanup(vaults_call_wipe)))

/* An operator's seat whose settings name a vault. */
int vaults_open(struct operator* operator, const struct cli * cli, struct error *err);
/* The call to one replica. */
int vaults_call_at(
    struct operator* operator, const char * address, struct vaults_call *call, struct error *err);
/* To one replica after another until one can answer. The error is the last one's. */
int vaults_call_any(struct operator* operator, struct vaults_call * call, struct error *err);

/* A state, in lines of text or as a JSON object. */
void vaults_print_state(const char *address, const struct vault_state_rsp *state);
json_t *vaults_state_json(const char *address, const struct vault_state_rsp *state);

/* `vault rotate`, `vault new-key`, `vault global`, `vault audit`: argv[1] is that word. */
int vaults_rotate(struct cli *cli, int argc, char **argv);
int vaults_new_key(struct cli *cli, int argc, char **argv);
int vaults_global(struct cli *cli, int argc, char **argv);
int vaults_audit(struct cli *cli, int argc, char **argv);

#endif
