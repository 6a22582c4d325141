/* wallet_json - amounts in the service's answers: decimal text, so that no digit is lost. */
#ifndef CLI_WALLET_JSON_H
#define CLI_WALLET_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* False if the member is not there or none; *amount_r is 0 then. */
bool wallet_json_amount(const json_t *doc, const char *name, uint64_t *amount_r);

#endif
