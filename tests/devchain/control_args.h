/* control_args - parameters of a control command, and what most commands do with accounts. */
#ifndef DEVCHAIN_CONTROL_ARGS_H
#define DEVCHAIN_CONTROL_ARGS_H

#include "tests/devchain/control.h"

/* Borrowed text; NULL: not given (or not text). */
const char *arg_text(const struct control_call *call, const char *name);
/* A key that must be there. */
int arg_key(const struct control_call *call, const char *name, uint8_t key_r[PUBKEY_LEN],
    struct error *err);
/* A key; without one *key_r becomes the address of a new random key pair. */
int arg_key_or_random(const struct control_call *call, const char *name, uint8_t key_r[PUBKEY_LEN],
    struct error *err);
/* A number, or text of one; without it *value_r stays. */
int arg_u64(
    const struct control_call *call, const char *name, uint64_t *value_r, struct error *err);
/* true, "true", "yes" or "1". */
bool arg_bool(const struct control_call *call, const char *name);

/* A member of the reply. */
void control_reply_key(struct control_call *call, const char *name, const uint8_t key[PUBKEY_LEN]);
/* In the next slot, which the reply will name. */
void control_put(
    struct control_call *call, const uint8_t key[PUBKEY_LEN], const struct account_state *state);
/* A copy of what the account will hold after the changes that are under way. The second takes an absent one for an empty one of the System Program. */
int control_newest(const struct control_call *call, const uint8_t key[PUBKEY_LEN],
    struct account_state *state_r, struct error *err);
void control_newest_or_new(
    const struct control_call *call, const uint8_t key[PUBKEY_LEN], struct account_state *state_r);
int control_check_free(
    const struct control_call *call, const uint8_t key[PUBKEY_LEN], struct error *err);

#endif
