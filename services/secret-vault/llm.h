/* llm - the chain of resolution, for every provider of the data file: the owner's own key, a global one, none. */
#ifndef SECRET_VAULT_LLM_H
#define SECRET_VAULT_LLM_H

#include "services/secret-vault/vault.h"

/* In the worker's thread. own: NULL if there is no period. item_r holds PROVIDERS_MAX. One that cannot be decrypted fails the whole and is named: of an own one
 * its preview and version, and with opens_own its value (who releases values opens them anyway); of a global one that counts its value, too. */
int llm_resolve(const struct vault *vault, struct desk *desk, const struct record_list *own,
    bool opens_own, struct providers_item *item_r, size_t *len_r, struct error *err);

#endif
