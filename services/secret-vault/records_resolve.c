/* Where a provider's key comes from. */
#include <sodium.h>
#include <string.h>

#include "services/secret-vault/records_internal.h"
#include "services/secret-vault/value.h"

#define PROVIDER_KIND "llm"

static const char *own_name(enum record_found found)
{
	return found == RECORD_SET ? "set" : found == RECORD_DELETED ? "deleted" : "none";
}

static int resolve_own(struct desk *desk, const struct open_period *own, const char *provider,
    bool with_value, struct resolved *resolved_r, struct error *err)
{
	struct record record = {.found = RECORD_NONE};
	struct record_plain plain;

	plain.len = 0;
	if (own && records_look(desk, own, PROVIDER_KIND, provider, with_value ? NULL : &plain,
		       &record, err) != 0) {
		sodium_memzero(plain.bytes, plain.len);
		return -1;
	}
	resolved_r->own = own_name(record.found);
	if (record.found != RECORD_SET)
		return 0;
	resolved_r->source = "user";
	resolved_r->version = record.version;
	resolved_r->value = record.value;
	value_preview(record.value ? secret_bytes(record.value) : plain.bytes,
	    record.value ? secret_len(record.value) : plain.len, resolved_r->preview);
	sodium_memzero(plain.bytes, plain.len);
	return 0;
}

/* Of a global one it is only seen that it opens. */
static int resolve_global(struct desk *desk, const struct open_period *global, const char *provider,
    struct resolved *resolved_r, struct error *err)
{
	struct record record = {.found = RECORD_NONE};
	struct record_plain plain;

	plain.len = 0;
	int rc =
	    global ? records_look(desk, global, PROVIDER_KIND, provider, &plain, &record, err) : 0;
	sodium_memzero(plain.bytes, plain.len);
	resolved_r->source = record.found == RECORD_SET ? "global" : "none";
	resolved_r->version = record.found == RECORD_SET ? record.version : 0;
	return rc;
}

int records_resolve(struct desk *desk, const struct open_period *own,
    const struct open_period *global, const char *provider, bool with_value,
    struct resolved *resolved_r, struct error *err)
{
	memset(resolved_r, 0, sizeof(*resolved_r));
	if (resolve_own(desk, own, provider, with_value, resolved_r, err) != 0)
		return -1;
	return resolved_r->source ? 0 : resolve_global(desk, global, provider, resolved_r, err);
}
