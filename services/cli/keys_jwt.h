/* keys_jwt - the lines of jwt.keys: <kid> <not_before, Unix s> <not_after> <base64 of 32 random bytes>; '#' begins a comment. */
#ifndef CLI_KEYS_JWT_H
#define CLI_KEYS_JWT_H

#include "common/error.h"

/* A file with one key that is good from now on for ten years. */
int keys_jwt_create(const char *path, struct error *err);

#endif
