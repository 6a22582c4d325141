#include "proto/store_key.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base58.h"

#define AGENT_LEN 32
#define WALLET_LEN_MIN 32
#define AGENT_LETTERS "abcdefghijklmnopqrstuvwxyz234567"
#define WALLET_LETTERS "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
#define NAME_LETTERS "abcdefghijklmnopqrstuvwxyz0123456789.-"
#define NAME_MAX_LEN 80
#define TOP "agents/"
#define HANDED "handed-over"

/* Length of the part at text, which ends with '/' or the end; 0: it is not of these letters alone. */
static size_t part(const char *text, const char *letters)
{
	size_t len = strspn(text, letters);

	return text[len] == '/' || text[len] == '\0' ? len : 0;
}

static bool is_wallet(const char *text, size_t len)
{
	return len >= WALLET_LEN_MIN && len <= PUBKEY_TEXT_MAX && part(text, WALLET_LETTERS) == len;
}

/* A number as it is written, and in no other way. */
static bool is_period(const char *text, size_t len)
{
	return len >= 1 && len <= 20 && part(text, "0123456789") == len &&
	       (text[0] != '0' || len == 1) &&
	       (len < 20 || strncmp(text, "18446744073709551615", 20) <= 0);
}

static bool is_name(const char *text, bool is_folder)
{
	size_t len = strlen(text);

	if (is_folder)
		return len == 0;
	return len >= 1 && len <= NAME_MAX_LEN && text[0] != '.' &&
	       strspn(text, NAME_LETTERS) == len;
}

bool store_key_is_good(const char *key, size_t len, bool is_folder)
{
	const char *at = key + strlen(TOP);

	if (len > STORE_KEY_MAX || strnlen(key, len) != len || key[len] != '\0' ||
	    strncmp(key, TOP, strlen(TOP)) != 0 || part(at, AGENT_LETTERS) != AGENT_LEN ||
	    at[AGENT_LEN] != '/')
		return false;
	at += AGENT_LEN + 1;
	if (strncmp(at, HANDED "/", strlen(HANDED "/")) == 0)
		return is_name(at + strlen(HANDED "/"), is_folder);
	size_t wallet = part(at, WALLET_LETTERS);
	if (!is_wallet(at, wallet) || at[wallet] != '/')
		return false;
	at += wallet + 1;
	size_t period = part(at, "0123456789");
	return is_period(at, period) && at[period] == '/' && is_name(at + period + 1, is_folder);
}

static bool is_made(const char *key, int len, const char *name)
{
	return len > 0 && len <= STORE_KEY_MAX && store_key_is_good(key, (size_t)len, !name[0]);
}

bool store_key_of_period(char key[STORE_KEY_MAX + 1], const char *agent, const char *wallet,
    uint64_t period, const char *name)
{
	int len = snprintf(
	    key, STORE_KEY_MAX + 1, TOP "%s/%s/%" PRIu64 "/%s", agent, wallet, period, name);

	return is_made(key, len, name);
}

bool store_key_handed_over(char key[STORE_KEY_MAX + 1], const char *agent, const char *name)
{
	int len = snprintf(key, STORE_KEY_MAX + 1, TOP "%s/" HANDED "/%s", agent, name);

	return is_made(key, len, name);
}
