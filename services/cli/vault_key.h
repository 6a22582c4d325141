/* vault_key - the file of secret-vault's master key: 32 random bytes in base64 on one line, 0600 (services/secret-vault/master.h). */
#ifndef CLI_VAULT_KEY_H
#define CLI_VAULT_KEY_H

#include "common/error.h"

/* Makes a new key. Never touches a file that is there: ERR_CONFLICT. */
int vault_key_create(const char *path, struct error *err);
/* The same; the file belongs to whom the one at owner_of belongs, so that the vault can read it as well. */
int vault_key_create_beside(const char *path, const char *owner_of, struct error *err);
/* "<path>.next", the key that a rotation leads to. Returns buf; ERR_INVALID (NULL) if it does not fit. */
const char *vault_key_next(const char *path, char *buf, size_t size, struct error *err);
/* The next key takes the key's place, on disk when it returns 0. There is no next key: that was done already, no error. */
int vault_key_promote(const char *path, struct error *err);

#endif
