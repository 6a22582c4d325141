/* channels - the channels' part of OpenClaw's configuration, made from the owner's bot tokens: channels.json, which the container merges into its own.
 *
 *	{"channels": {"telegram": {"enabled": true, "dmPolicy": "pairing", "groupPolicy": "allowlist", "botToken": "..."}, "discord": {..., "token"},
 *	"slack": {..., "botToken", "appToken"}}}
 *
 * from bot/telegram, bot/discord, bot/slack, bot/slack_app. Strangers are paired first (dmPolicy); groups have to be allowed. Written straight into the
 * caller's memory: a library would leave tokens in memory that nobody wipes.
 */
#ifndef SECRET_VAULT_CHANNELS_H
#define SECRET_VAULT_CHANNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/secret.h"

#define BOT_TOKEN_MAX 4096 /* so that the file fits into one page whatever the tokens are */
#define CHANNELS_TOKENS 4

/* Name of the secret of kind bot that token number i comes from. */
const char *channels_token_name(size_t i);
bool channels_has_token(const char *name);
/* token: NULL where there is none; borrowed. A channel without its main token is left out. Returns the length, or 0 if it does not fit. */
size_t channels_write(
    const struct secret *const token[CHANNELS_TOKENS], uint8_t *bytes_r, size_t size);

#endif
