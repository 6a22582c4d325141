/* scan_wallet - the hot wallet's key: a JSON array of 64 numbers, of which the first 32 are the seed and the others the public address (which anybody may have). */
#ifndef PACKER_SCAN_WALLET_H
#define PACKER_SCAN_WALLET_H

#include "services/packer/scan_values.h"

/* False: it is no keypair; nothing was added. */
bool scan_wallet_add(struct values *values, const char *path, const uint8_t *bytes, size_t len);

#endif
