#include "services/sandbox/openclaw.h"

#include <jansson.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "common/scoped.h"

static json_t *gateway(const char *token, const char *origin)
{
	return json_pack("{s:i, s:s, s:s, s:{s:s, s:s}, s:{s:[s]}}", "port", OPENCLAW_PORT, "mode",
	    "local", "bind", "lan", "auth", "mode", "token", "token", token, "controlUi",
	    "allowedOrigins", origin);
}

static int add_channels(json_t *config, const struct secret *channels, struct error *err)
{
	json_error_t where;
	scoped_json json_t *read = json_loadb((const char *)secret_bytes(channels),
	    secret_len(channels), JSON_REJECT_DUPLICATES, &where);
	json_t *found = json_object_get(read, "channels");
	if (!json_is_object(found) || json_object_set(config, "channels", found) != 0)
		return error_refuse(err, ERR_INTERNAL, "answer_malformed",
		    "channels.json of the vault is not understood");
	return 0;
}

struct secret *openclaw_write(const char *token, const char *origin, const struct secret *channels,
    const json_t *providers, struct error *err)
{
	scoped_json json_t *config = json_pack("{s:o}", "gateway", gateway(token, origin));
	bug_if(!config);
	if (json_object_size(providers) > 0 &&
	    json_object_set_new(config, "models",
		json_pack("{s:s, s:O}", "mode", "merge", "providers",
		    (json_t *)(uintptr_t)providers)) != 0)
		bug_if(true);
	if (channels && add_channels(config, channels, err) != 0)
		return NULL;
	char *text = json_dumps(config, JSON_INDENT(1));
	bug_if(!text);
	struct secret *secret = secret_new(text, strlen(text));
	sodium_memzero(text, strlen(text));
	free(text);
	return secret;
}
