#include "services/secret-vault/period.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/audit.h"

char *period_text(const struct period *period, char text[PERIOD_TEXT_MAX + 1])
{
	if (period_is_global(period))
		snprintf(text, PERIOD_TEXT_MAX + 1, "%s", AUDIT_GLOBAL);
	else
		snprintf(text, PERIOD_TEXT_MAX + 1, "%s/%s/%" PRIu64, period->asset, period->wallet,
		    period->slot);
	return text;
}
