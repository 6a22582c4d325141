#include "services/cli/wallet_json.h"

#include "common/wallet_amount.h"
#include "services/cli/web.h"

bool wallet_json_amount(const json_t *doc, const char *name, uint64_t *amount_r)
{
	struct error ignored;

	*amount_r = 0;
	return wallet_amount_parse(web_text(doc, name), 0, amount_r, &ignored) == 0;
}
