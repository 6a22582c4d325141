/* state - what an account holds: lamports, the program that owns it, its bytes. */
#ifndef DEVCHAIN_STATE_H
#define DEVCHAIN_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base58.h"

#define ACCOUNT_DATA_MAX (256 * 1024)

struct account_state {
	uint64_t lamports; /* 0: the account does not exist */
	uint8_t program[PUBKEY_LEN];
	uint8_t *data; /* owned; NULL when len is 0 */
	size_t len;
};

/* Replaces the data by a zeroed buffer of len bytes and returns it. */
uint8_t *account_state_resize(struct account_state *state, size_t len);
/* Deep copy into *copy_r, whose old contents are not looked at. */
void account_state_copy(const struct account_state *state, struct account_state *copy_r);
void account_state_clear(struct account_state *state);
/* Is it a program's own account, that is, does a loader own it? */
bool state_is_program(const struct account_state *state);
#define STATE_LOADER "BPFLoader2111111111111111111111111111111111"
/* Lamports that make an account of len bytes exempt from rent: (128 + len) * 6960. */
uint64_t rent_exempt(size_t len);

static inline void scoped_state_fn(struct account_state *state)
{
	account_state_clear(state);
}
#define scoped_state __attribute__((cleanup(scoped_state_fn)))

#endif
