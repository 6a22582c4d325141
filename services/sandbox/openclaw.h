/* openclaw - openclaw.json for an agent whose image is OpenClaw's: where its gateway listens, its token, from which origin its pages come, and the
 * channels as the vault rendered them (strangers are paired first). The agent finds it under /run/secrets; sandbox-openclaw: gateway/configuration.
 */
#ifndef SANDBOX_OPENCLAW_H
#define SANDBOX_OPENCLAW_H

#include <jansson.h>

#include "common/secret.h"

#define OPENCLAW_PORT 18789

/* origin: the agent's own. channels: channels.json, or NULL. providers: of llm_openclaw; borrowed. The caller owns the result; NULL and err: channels is not what the vault makes. */
struct secret *openclaw_write(const char *token, const char *origin, const struct secret *channels,
    const json_t *providers, struct error *err);

#endif
