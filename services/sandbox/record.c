#include "services/sandbox/record.h"

#include <jansson.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "common/scoped.h"

#define VERSION 2
#define VERSION_WITHOUT_SNAPSHOTS 1 /* and without the image's kind */

static const char *const wishes[] = {[MACHINE_NEW] = "new",
    [MACHINE_UP] = "up",
    [MACHINE_ASLEEP] = "asleep",
    [MACHINE_DOWN] = "down"};

/* ---- writing */

static json_t *former_json(const struct record *record)
{
	json_t *list = json_array();
	for (size_t i = 0; i < record->nformer; i++)
		json_array_append_new(list,
		    json_pack("{s:s, s:I, s:I, s:I, s:b, s:b, s:b, s:b}", "wallet",
			record->former[i].wallet, "period", (json_int_t)record->former[i].period,
			"over_at_ms", (json_int_t)record->former[i].over_at_ms, "number",
			(json_int_t)record->former[i].number, "objects",
			record->former[i].has_objects, "erased", record->former[i].is_erased,
			"moved", record->former[i].is_moved, "kept", record->former[i].is_kept));
	return list;
}

static json_t *egress_json(const struct egress *egress)
{
	if (!egress->is_narrowed)
		return json_null();
	json_t *list = json_array();
	for (size_t i = 0; i < egress->n; i++)
		json_array_append_new(list, json_string(egress->host[i]));
	return list;
}

char *record_text(const struct record *record)
{
	char placement[2 * sizeof(record->placement) + 1],
	    grant[2 * sizeof(record->gateway_grant) + 1];
	sodium_bin2hex(grant, sizeof(grant), record->gateway_grant, record->gateway_grant_len);
	sodium_bin2hex(placement, sizeof(placement), record->placement, record->placement_len);
	scoped_json json_t *json = json_pack(
	    "{s:i, s:s, s:s, s:I, s:o, s:s, s:s, s:s, s:s, s:o, s:b, s:o, s:s, s:s, s:o, s:s}",
	    "version", VERSION, "asset", record->asset, "wallet", record->wallet, "slot",
	    (json_int_t)record->slot, "period",
	    record->has_period ? json_integer((json_int_t)record->period) : json_null(), "boot",
	    record->boot, "image", record->image, "wish", wishes[record->wish], "placement",
	    placement, "egress", egress_json(&record->egress), "workers", record->allows_workers,
	    "former", former_json(record), "epoch", record->epoch, "kind", record->kind, "saved",
	    saved_json(&record->saved), "gateway", grant);
	bug_if(!json);
	char *text = json_dumps(json, JSON_INDENT(1) | JSON_ENSURE_ASCII);
	bug_if(!text);
	sodium_memzero(placement, sizeof(placement));
	sodium_memzero(grant, sizeof(grant));
	return text;
}

/* ---- reading */

static bool take_text(const json_t *from, const char *key, char *to, size_t size)
{
	const char *text = json_string_value(json_object_get(from, key));
	if (!text || strlen(text) >= size)
		return false;
	memcpy(to, text, strlen(text) + 1);
	return true;
}

static bool take_number(const json_t *from, const char *key, uint64_t *to)
{
	const json_t *number = json_object_get(from, key);
	if (!json_is_integer(number))
		return false;
	*to = (uint64_t)json_integer_value(number);
	return true;
}

static bool is_address(const char *text)
{
	uint8_t key[PUBKEY_LEN];
	return pubkey_parse(text, key) == 0;
}

static bool take_asset(const json_t *from, const char *id, struct record *record)
{
	uint8_t key[PUBKEY_LEN];
	char own[AGENT_ID_LEN + 1];
	if (!take_text(from, "asset", record->asset, sizeof(record->asset)) ||
	    pubkey_parse(record->asset, key) != 0)
		return false;
	agent_id(key, own);
	return strcmp(own, id) == 0;
}

static bool take_wish(const json_t *from, struct record *record)
{
	char wish[8];
	if (!take_text(from, "wish", wish, sizeof(wish)))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(wishes); i++) {
		if (strcmp(wish, wishes[i]) == 0) {
			record->wish = (enum machine_wish)i;
			return true;
		}
	}
	return false;
}

static bool take_sealed(const json_t *from, const char *key, uint8_t to[256], size_t *len_r)
{
	char text[2 * 256 + 1];
	const char *end;
	bool is_good = take_text(from, key, text, sizeof(text)) &&
		       sodium_hex2bin(to, 256, text, strlen(text), NULL, len_r, &end) == 0 &&
		       *end == '\0';
	sodium_memzero(text, sizeof(text));
	return is_good;
}

/* Records that are older than gateways have no grant. */
static bool take_placement(const json_t *from, struct record *record)
{
	return take_sealed(from, "placement", record->placement, &record->placement_len) &&
	       (!json_object_get(from, "gateway") ||
		   take_sealed(from, "gateway", record->gateway_grant, &record->gateway_grant_len));
}

static bool take_egress(const json_t *from, struct record *record)
{
	const json_t *list = json_object_get(from, "egress"), *host;
	size_t i;
	if (json_is_null(list))
		return true;
	record->egress.is_narrowed = true;
	json_array_foreach(list, i, host)
	{
		if (!json_is_string(host) || !egress_add(&record->egress, json_string_value(host)))
			return false;
	}
	return json_is_array(list);
}

static bool take_workers(const json_t *from, struct record *record)
{
	const json_t *workers = json_object_get(from, "workers");
	record->allows_workers = json_is_true(workers);
	return json_is_boolean(workers);
}

static bool take_former(const json_t *from, struct record *record)
{
	const json_t *list = json_object_get(from, "former"), *item;
	size_t i;
	json_array_foreach(list, i, item)
	{
		struct record_former *former = &record->former[record->nformer++];
		if (record->nformer > RECORD_FORMER_MAX ||
		    !take_text(item, "wallet", former->wallet, sizeof(former->wallet)) ||
		    !is_address(former->wallet) || !take_number(item, "period", &former->period) ||
		    !take_number(item, "over_at_ms", &former->over_at_ms))
			return false;
		former->number = (uint64_t)json_integer_value(json_object_get(item, "number"));
		former->has_objects = json_is_true(json_object_get(item, "objects"));
		former->is_erased = json_is_true(json_object_get(item, "erased"));
		former->is_moved = json_is_true(json_object_get(item, "moved"));
		former->is_kept = json_is_true(json_object_get(item, "kept"));
	}
	return json_is_array(list);
}

static bool take_saved(const json_t *from, uint64_t version, struct record *record)
{
	if (version == VERSION_WITHOUT_SNAPSHOTS)
		return true;
	return take_text(from, "kind", record->kind, sizeof(record->kind)) &&
	       saved_take(json_object_get(from, "saved"), &record->saved);
}

static bool take_period(const json_t *from, struct record *record)
{
	if (json_is_null(json_object_get(from, "period")))
		return true;
	record->has_period = true;
	return take_number(from, "period", &record->period);
}

static bool is_boot(const char *boot)
{
	size_t len = strlen(boot);
	return strspn(boot, "0123456789abcdef") == len && (len == 0 || len == VAULT_BOOT_ID_LEN);
}

static bool take_all(const json_t *from, const char *id, struct record *record)
{
	uint64_t version;
	return take_number(from, "version", &version) &&
	       (version == VERSION || version == VERSION_WITHOUT_SNAPSHOTS) &&
	       take_asset(from, id, record) &&
	       take_text(from, "wallet", record->wallet, sizeof(record->wallet)) &&
	       (!record->wallet[0] || is_address(record->wallet)) &&
	       take_number(from, "slot", &record->slot) && take_period(from, record) &&
	       take_text(from, "boot", record->boot, sizeof(record->boot)) &&
	       is_boot(record->boot) &&
	       take_text(from, "image", record->image, sizeof(record->image)) &&
	       take_wish(from, record) && take_placement(from, record) &&
	       take_egress(from, record) && take_workers(from, record) &&
	       take_former(from, record) &&
	       take_text(from, "epoch", record->epoch, sizeof(record->epoch)) &&
	       take_saved(from, version, record);
}

int record_parse(
    const char *text, size_t len, const char *id, struct record *record_r, struct error *err)
{
	json_error_t where;
	scoped_json json_t *json = json_loadb(text, len, JSON_REJECT_DUPLICATES, &where);
	*record_r = (struct record){0};
	if (json && take_all(json, id, record_r))
		return 0;
	*record_r = (struct record){0};
	return error_set(err, ERR_INVALID, "not a record of this agent");
}

static void add_former(struct record *record, uint64_t now_ms)
{
	if (!record->has_period)
		return;
	if (record->nformer == RECORD_FORMER_MAX)
		memmove(&record->former[0], &record->former[1],
		    --record->nformer * sizeof(record->former[0]));
	struct record_former *former = &record->former[record->nformer++];
	/* one that still has to be filled is not of that number, but of an older one */
	bool is_current = !record->saved.must_fill && !record->saved.is_stale;
	*former = (struct record_former){.period = record->period,
	    .over_at_ms = now_ms,
	    .number = is_current ? record->saved.number : 0,
	    .has_objects = saved_has_objects(&record->saved)};
	memcpy(former->wallet, record->wallet, sizeof(former->wallet));
}

struct record_former *record_find_former(struct record *record, const char *wallet, uint64_t period)
{
	for (size_t i = 0; i < record->nformer; i++)
		if (record->former[i].period == period &&
		    strcmp(record->former[i].wallet, wallet) == 0)
			return &record->former[i];
	return NULL;
}

void record_drop_former(struct record *record, struct record_former *former)
{
	size_t i = (size_t)(former - record->former);
	memmove(former, former + 1, (record->nformer - i - 1) * sizeof(*former));
	record->nformer--;
}

/* It was moved away, or its sale was none, and it is back: its volume is not to be erased any more. */
static void take_back(struct record *record, uint64_t period)
{
	struct record_former *former = record_find_former(record, record->wallet, period);
	if (!former)
		return;
	if (!former->is_erased && !record->saved.number)
		record->saved.number = former->number;
	record_drop_former(record, former);
}

void record_set_period(struct record *record, uint64_t period, uint64_t now_ms)
{
	if (record->has_period && record->period != period) {
		add_former(record, now_ms);
		record->saved = (struct saved){0};
	}
	take_back(record, period);
	record->has_period = true;
	record->period = period;
}

void record_drop_placement(struct record *record)
{
	sodium_memzero(record->placement, sizeof(record->placement));
	sodium_memzero(record->gateway_grant, sizeof(record->gateway_grant));
	record->placement_len = record->gateway_grant_len = 0;
}

void record_end_period(struct record *record, uint64_t now_ms)
{
	add_former(record, now_ms);
	record->wallet[0] = record->boot[0] = record->image[0] = record->epoch[0] = '\0';
	record->kind[0] = '\0';
	record->saved = (struct saved){0};
	record->slot = record->period = 0;
	record->has_period = false;
	record->wish = MACHINE_NEW;
	record->egress = (struct egress){0};
	record->allows_workers = false;
	record_drop_placement(record);
}

void record_move_away(struct record *record, uint64_t now_ms)
{
	bool had_period = record->has_period;
	record_end_period(record, now_ms);
	if (!had_period)
		return;
	struct record_former *former = &record->former[record->nformer - 1];
	former->is_moved = former->is_kept = true;
}

bool record_look_at_moved(struct record *record, const char *owner, uint64_t now_ms)
{
	bool has_changed = false;
	for (size_t i = 0; i < record->nformer; i++) {
		struct record_former *former = &record->former[i];
		bool is_kept = !owner[0] || strcmp(owner, former->wallet) == 0;
		if (!former->is_moved || former->is_kept == is_kept)
			continue;
		former->is_kept = is_kept;
		if (!is_kept)
			former->over_at_ms = now_ms;
		has_changed = true;
	}
	return has_changed;
}
