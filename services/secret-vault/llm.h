/* llm - the chain of resolution, for every provider of the data file: the owner's own key, a global one, none. */
#ifndef SECRET_VAULT_LLM_H
#define SECRET_VAULT_LLM_H

#include "services/secret-vault/vault.h"

/* In the worker's thread. own: NULL if there is no period. item_r holds PROVIDERS_MAX. One that cannot be decrypted fails the whole and is named. */
int llm_resolve(const struct vault *vault, struct desk *desk, const struct open_period *own,
    struct providers_item *item_r, size_t *len_r, struct error *err);

#endif
