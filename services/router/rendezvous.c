#include "services/router/rendezvous.h"

#include <sodium.h>
#include <string.h>

uint64_t rendezvous_score(const char *host, const uint8_t asset[PUBKEY_LEN])
{
	uint8_t hash[crypto_generichash_BYTES];
	uint64_t score = 0;
	/* no key: all routers must agree */
	crypto_generichash(
	    hash, sizeof(hash), asset, PUBKEY_LEN, (const uint8_t *)host, strlen(host));
	for (size_t i = 0; i < sizeof(score); i++)
		score = score << 8 | hash[i];
	return score;
}
