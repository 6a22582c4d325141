/* period - an ownership period: the asset, the wallet that owned it, the slot at which that was first proven here. Every secret belongs to one; a sale
 * and a buy-back make another. The operators' global keys belong to a period of their own. */
#ifndef SECRET_VAULT_PERIOD_H
#define SECRET_VAULT_PERIOD_H

#include <stdbool.h>
#include <string.h>

#include "common/base58.h"

#define PERIOD_TEXT_MAX 112 /* "<asset>/<wallet>/<slot>" */
#define PERIOD_GLOBAL "*"

struct period {
	char asset[PUBKEY_TEXT_MAX +
		   1]; /* PERIOD_GLOBAL: operators' keys; then wallet is "" and slot 0 */
	char wallet[PUBKEY_TEXT_MAX + 1];
	uint64_t slot;
};
static inline bool period_is_global(const struct period *period)
{
	return strcmp(period->asset, PERIOD_GLOBAL) == 0;
}
/* Name of its audit chain (common/audit.h): "global", or as above. Returns text. */
char *period_text(const struct period *period, char text[PERIOD_TEXT_MAX + 1]);

#endif
