#include "services/secret-vault/evidence.h"

#include <string.h>

#include "common/error.h"
#include "common/pubkey.h"

static bool is_one_of(const char *word, const char *const *words, size_t nwords)
{
	for (size_t i = 0; i < nwords; i++)
		if (strcmp(word, words[i]) == 0)
			return true;
	return false;
}

enum evidence evidence_judge(
    const struct oracle_finalized_rsp *rsp, const char *wallet, uint64_t min_slot)
{
	static const char *const somebodys[] = {"owned", "off_curve"};
	/* of these it says only that the asset is none of ours: a collection that was set wrong here makes it so of all. No way leads from an asset to no account:
	 * the Core program leaves one byte of what is burned. A node that finds none has lost something. */
	static const char *const foreign[] = {
	    "missing", "wrong_program", "hashed", "malformed", "no_collection", "wrong_collection"};
	uint8_t key[PUBKEY_LEN];
	if (rsp->slot < min_slot || rsp->nodes == 0)
		return EVIDENCE_NONE;
	if (strcmp(rsp->verdict, "burned") == 0)
		return rsp->owner[0] ? EVIDENCE_NONE : EVIDENCE_OTHER;
	if (is_one_of(rsp->verdict, foreign, ARRAY_LEN(foreign)))
		return EVIDENCE_FOREIGN;
	if (!is_one_of(rsp->verdict, somebodys, ARRAY_LEN(somebodys)) ||
	    pubkey_parse(rsp->owner, key) != 0)
		return EVIDENCE_NONE;
	return strcmp(rsp->owner, wallet) == 0 ? EVIDENCE_SAME : EVIDENCE_OTHER;
}
