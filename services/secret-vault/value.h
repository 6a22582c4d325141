/* value - what may be stored under which name, and what is shown of it afterwards. */
#ifndef SECRET_VAULT_VALUE_H
#define SECRET_VAULT_VALUE_H

#include "common/error.h"

#define PREVIEW_MAX 32 /* bytes: 8 characters of UTF-8 */

/* kind llm, bot or custom; name [a-z0-9_-]{1,64}. ERR_INVALID secret_name_invalid. */
int value_check_name(const char *kind, const char *name, struct error *err);
/* 1..65536 bytes of UTF-8 without NUL; llm and bot also without control characters and white space at the ends. ERR_INVALID secret_value_invalid;
 * the text says what is wrong, never what it is. */
int value_check(const char *kind, const void *bytes, size_t len, struct error *err);
/* The first 8 characters, at most a quarter of the characters, none if there are fewer than 20 (security rule 21). Returns the length in bytes. */
size_t value_preview(const void *bytes, size_t len, char preview_r[PREVIEW_MAX + 1]);

#endif
