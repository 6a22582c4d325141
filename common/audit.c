#include "common/audit.h"

#include <inttypes.h>
#include <search.h>
#include <sodium.h>
#include <string.h>

#include "common/scoped.h"

#define ENTRY_LABEL "multiclaw audit entry v1"
#define HEAD_LABEL "multiclaw audit head v1"
#define HEX_LEN (2 * AUDIT_HASH_LEN)

static const uint8_t nothing[AUDIT_HASH_LEN];

/* ---- hashes ---- */

static void take_number(crypto_generichash_state *hash, uint64_t number, size_t bytes)
{
	uint8_t little[8];

	for (size_t i = 0; i < bytes; i++)
		little[i] = (uint8_t)(number >> (8 * i));
	crypto_generichash_update(hash, little, bytes);
}

static void take_text(crypto_generichash_state *hash, const char *text)
{
	size_t len = strlen(text);

	take_number(hash, len, 4);
	crypto_generichash_update(hash, (const uint8_t *)text, len);
}

void audit_seal(struct audit_entry *entry)
{
	crypto_generichash_state hash;

	crypto_generichash_init(&hash, NULL, 0, AUDIT_HASH_LEN);
	take_text(&hash, ENTRY_LABEL);
	take_text(&hash, entry->chain);
	take_number(&hash, entry->seq, 8);
	take_number(&hash, entry->at_ms, 8);
	take_text(&hash, entry->act);
	take_text(&hash, entry->by);
	take_text(&hash, entry->kind);
	take_text(&hash, entry->name);
	take_number(&hash, entry->version, 8);
	take_text(&hash, entry->detail);
	crypto_generichash_update(&hash, entry->prev, AUDIT_HASH_LEN);
	crypto_generichash_final(&hash, entry->hash, AUDIT_HASH_LEN);
}

void audit_seal_all(struct audit_entry *entry, const uint8_t before[AUDIT_HASH_LEN])
{
	crypto_generichash_state hash;

	crypto_generichash_init(&hash, NULL, 0, AUDIT_HASH_LEN);
	take_text(&hash, HEAD_LABEL);
	take_number(&hash, entry->all_seq, 8);
	crypto_generichash_update(&hash, before, AUDIT_HASH_LEN);
	crypto_generichash_update(&hash, entry->hash, AUDIT_HASH_LEN);
	crypto_generichash_final(&hash, entry->all_hash, AUDIT_HASH_LEN);
}

/* ---- as JSON ---- */

enum member_type { TEXT, NUMBER, HASH };
/* clang-format off */
#define MEMBERS(X) \
	X(chain, TEXT, true) X(seq, NUMBER, true) X(at_ms, NUMBER, true) X(act, TEXT, true) X(by, TEXT, true) \
	X(kind, TEXT, false) X(name, TEXT, false) X(version, NUMBER, false) X(detail, TEXT, false) \
	X(prev, HASH, true) X(hash, HASH, true) X(all_seq, NUMBER, false) X(all_hash, HASH, false)
/* clang-format on */
static const struct member {
	const char *name;
	enum member_type type;
	bool must;
	size_t offset, size;
} members[] = {
#define MEMBER(name, type, must) \
	{#name, type, must, offsetof(struct audit_entry, name), \
	    sizeof(((struct audit_entry *)0)->name)},
    MEMBERS(MEMBER)
#undef MEMBER
};

static json_t *member_value(const struct member *member, const uint8_t *at)
{
	char hex[HEX_LEN + 1];
	uint64_t number;

	switch (member->type) {
	case TEXT:
		return json_string((const char *)at);
	case HASH:
		sodium_bin2hex(hex, sizeof(hex), at, AUDIT_HASH_LEN);
		return json_string(hex);
	case NUMBER:
		break;
	}
	memcpy(&number, at, sizeof(number));
	return number > INT64_MAX ? NULL : json_integer((json_int_t)number);
}

static bool is_left_out(const struct member *member, const struct audit_entry *entry)
{
	const uint8_t *at = (const uint8_t *)entry + member->offset;

	if (member->must)
		return false;
	if (member->type == HASH)
		return entry->all_seq == 0;
	return member->type == TEXT ? *at == 0 : sodium_is_zero(at, sizeof(uint64_t)) != 0;
}

char *audit_entry_text(const struct audit_entry *entry)
{
	scoped_json json_t *object = json_object();

	for (size_t i = 0; i < ARRAY_LEN(members); i++) {
		const struct member *member = &members[i];

		if (is_left_out(member, entry))
			continue;
		json_t *value = member_value(member, (const uint8_t *)entry + member->offset);
		if (!value || json_object_set_new(object, member->name, value) != 0)
			return NULL;
	}
	return json_dumps(object, JSON_COMPACT | JSON_ENSURE_ASCII);
}

static bool read_value(const struct member *member, const json_t *value, uint8_t *at)
{
	const char *text = json_string_value(value);

	if (member->type == NUMBER) {
		uint64_t number = (uint64_t)json_integer_value(value);
		if (!json_is_integer(value) || json_integer_value(value) < 0)
			return false;
		memcpy(at, &number, sizeof(number));
		return true;
	}
	if (!text)
		return false;
	size_t len = strlen(text);
	if (member->type == HASH)
		return len == HEX_LEN && strspn(text, "0123456789abcdef") == len &&
		       sodium_hex2bin(at, AUDIT_HASH_LEN, text, len, NULL, NULL, NULL) == 0;
	if (len >= member->size || (member->must && len == 0))
		return false;
	memcpy(at, text, len + 1);
	return true;
}

static int read_members(const json_t *object, struct audit_entry *entry, struct error *err)
{
	size_t known = 0;

	for (size_t i = 0; i < ARRAY_LEN(members); i++) {
		const struct member *member = &members[i];
		const json_t *value = json_object_get(object, member->name);

		if (!value && member->must)
			return error_set(err, ERR_INVALID, "%s is missing", member->name);
		if (!value)
			continue;
		known++;
		if (!read_value(member, value, (uint8_t *)entry + member->offset))
			return error_set(
			    err, ERR_INVALID, "%s is not what it should be", member->name);
	}
	if (json_object_size(object) != known)
		return error_set(err, ERR_INVALID, "there is a member that no entry has");
	return 0;
}

int audit_entry_parse(const char *text, size_t len, struct audit_entry *entry_r, struct error *err)
{
	struct audit_entry entry = {0};
	json_error_t why;
	scoped_json json_t *object = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);

	if (!json_is_object(object))
		return error_set(err, ERR_INVALID, "not a JSON object%s%s", object ? "" : ": ",
		    object ? "" : why.text);
	if (read_members(object, &entry, err) != 0)
		return -1;
	if (entry.seq == 0)
		return error_set(err, ERR_INVALID, "seq begins at 1");
	if ((entry.all_seq > 0) != (json_object_get(object, "all_hash") != NULL) ||
	    (entry.all_seq > 0) != (json_object_get(object, "all_seq") != NULL))
		return error_set(err, ERR_INVALID, "all_seq, from 1, and all_hash go together");
	*entry_r = entry;
	return 0;
}

/* ---- checking a copy ---- */

struct chain {
	char name[AUDIT_CHAIN_MAX + 1];
	uint64_t seq;
	uint8_t head[AUDIT_HASH_LEN];
};

struct audit_check {
	bool of_all;
	uint64_t len; /* entries seen: the seq, or all_seq, of the last */
	size_t room;
	uint8_t (*heads)[AUDIT_HASH_LEN]; /* after each of them */
	void *chains;                     /* of tsearch, by name */
};

struct audit_check *audit_check_new(void)
{
	struct audit_check *check = calloc(1, sizeof(*check));

	bug_if(!check);
	return check;
}

void audit_check_destroy(struct audit_check **check)
{
	if (!*check)
		return;
	tdestroy((*check)->chains, free);
	free((*check)->heads);
	free(*check);
	*check = NULL;
}

/* a chain begins with its name */
static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

static struct chain *chain_of(struct audit_check *check, const char *name)
{
	struct chain *chain = calloc(1, sizeof(*chain));

	bug_if(!chain);
	snprintf(chain->name, sizeof(chain->name), "%s", name);
	struct chain **found = tsearch(chain, &check->chains, by_name);
	bug_if(!found);
	if (*found != chain)
		free(chain);
	return *found;
}

static void keep_head(struct audit_check *check, const uint8_t head[AUDIT_HASH_LEN])
{
	if (check->len == check->room) {
		check->room = check->room ? 2 * check->room : 64;
		check->heads = reallocarray(check->heads, check->room, sizeof(check->heads[0]));
		bug_if(!check->heads);
	}
	memcpy(check->heads[check->len++], head, AUDIT_HASH_LEN);
}

static int refuse(const struct audit_entry *entry, const char *what, struct error *err)
{
	/* a chain's name is as long as the text of an error: what is wrong comes first */
	return error_refuse(err, ERR_INVALID, "audit_broken", "%s: seq %" PRIu64 " of %s", what,
	    entry->seq, entry->chain);
}

static int check_chain(
    struct audit_check *check, const struct audit_entry *entry, struct error *err)
{
	struct audit_entry again = *entry;

	audit_seal(&again);
	if (memcmp(again.hash, entry->hash, AUDIT_HASH_LEN) != 0)
		return refuse(entry, "changed (its hash is another)", err);
	if (!check->of_all && check->len > 0 && !tfind(entry->chain, &check->chains, by_name))
		return refuse(entry, "of another chain than those before", err);
	struct chain *chain = chain_of(check, entry->chain);
	if (entry->seq != chain->seq + 1)
		return refuse(entry,
		    entry->seq <= chain->seq ? "twice or out of order"
					     : "entries before it are missing",
		    err);
	if (memcmp(entry->prev, chain->head, AUDIT_HASH_LEN) != 0)
		return refuse(entry, "does not follow the entry before it", err);
	chain->seq = entry->seq;
	memcpy(chain->head, entry->hash, AUDIT_HASH_LEN);
	return 0;
}

static int check_all(struct audit_check *check, const struct audit_entry *entry, struct error *err)
{
	struct audit_entry again = *entry;

	if (entry->all_seq != check->len + 1)
		return refuse(
		    entry, "entries of other chains are missing, or the order is another", err);
	audit_seal_all(&again, check->len ? check->heads[check->len - 1] : nothing);
	if (memcmp(again.all_hash, entry->all_hash, AUDIT_HASH_LEN) != 0)
		return refuse(entry, "does not follow the entries of all chains", err);
	return 0;
}

int audit_check_next(struct audit_check *check, const struct audit_entry *entry, struct error *err)
{
	bool of_all = entry->all_seq > 0;

	if (check->len == 0)
		check->of_all = of_all;
	if (check->of_all != of_all)
		return refuse(entry, "all_seq is on some entries only", err);
	if (check_chain(check, entry, err) != 0 || (of_all && check_all(check, entry, err) != 0))
		return -1;
	keep_head(check, of_all ? entry->all_hash : entry->hash);
	return 0;
}

int audit_check_head(const struct audit_check *check, uint64_t head_seq,
    const uint8_t head[AUDIT_HASH_LEN], struct error *err)
{
	if (head_seq > check->len)
		return error_refuse(err, ERR_INVALID, "audit_broken",
		    "cut off: the head is of entry %" PRIu64 ", the copy ends at %" PRIu64,
		    head_seq, check->len);
	if (memcmp(head, head_seq ? check->heads[head_seq - 1] : nothing, AUDIT_HASH_LEN) != 0)
		return error_refuse(err, ERR_INVALID, "audit_broken",
		    "the copy is not what the head was taken of: entry %" PRIu64
		    " has another hash",
		    head_seq);
	return 0;
}
