#include "services/cli/signed_text.h"

#include <stdio.h>
#include <string.h>

int signed_text_check(const struct signed_text *expected, const char *message, struct error *err)
{
	char start[1024];
	const char *host = strstr(expected->url, "://");

	host = host ? host + 3 : expected->url;
	int len = snprintf(start, sizeof(start),
	    "%.*s wants you to sign in with your Solana account:\n%s\n\n%s",
	    (int)strcspn(host, "/"), host, expected->wallet, expected->statement);
	if (len < 0 || (size_t)len >= sizeof(start) || strncmp(message, start, (size_t)len) != 0)
		return error_set(err, ERR_DENIED,
		    "not signed: the text that %s sent is not %s to it", expected->url,
		    expected->what);
	return 0;
}

char *signed_text_hot_wallet(const char *asset, const char *recipient, char buf[SIGNED_TEXT_MAX])
{
	snprintf(buf, SIGNED_TEXT_MAX,
	    "Create the hot wallet of multiclaw agent %s and show its secret key once, sealed to "
	    "%s, asked from ",
	    asset, recipient);
	return buf;
}

char *signed_text_raw_instructions(const char *asset, char buf[SIGNED_TEXT_MAX])
{
	snprintf(buf, SIGNED_TEXT_MAX,
	    "Compose raw instructions for multiclaw agent %s that may give all away, asked from ",
	    asset);
	return buf;
}
