#include "services/sandbox/version.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIGITS 20
#define ARCHIVE ".archive"

bool version_object_is_good(const char *object)
{
	return strlen(object) == VERSION_OBJECT_LEN && strspn(object, "0123456789") == DIGITS &&
	       object[DIGITS] == '-' && strspn(object + DIGITS + 1, "0123456789abcdef") == 16 &&
	       strcmp(object + DIGITS + 17, ARCHIVE) == 0 &&
	       strncmp(object, "18446744073709551615", DIGITS) <= 0;
}

uint64_t version_archive_number(const struct version *version)
{
	return strtoull(version->object, NULL, 10);
}

void version_archive_key(
    const uint8_t key[VAULT_SNAPSHOT_KEY_LEN], const char *object, uint8_t key_r[32])
{
	static const char context[] = "multiclaw archive v1";
	crypto_generichash_state state;
	crypto_generichash_init(&state, key, VAULT_SNAPSHOT_KEY_LEN, 32);
	crypto_generichash_update(&state, (const uint8_t *)context, sizeof(context));
	crypto_generichash_update(&state, (const uint8_t *)object, strlen(object));
	crypto_generichash_final(&state, key_r, 32);
	sodium_memzero(&state, sizeof(state));
}

void version_object_make(uint64_t number, char object_r[VERSION_OBJECT_LEN + 1])
{
	uint8_t random[8];
	char hex[2 * sizeof(random) + 1];
	randombytes_buf(random, sizeof(random));
	sodium_bin2hex(hex, sizeof(hex), random, sizeof(random));
	snprintf(object_r, VERSION_OBJECT_LEN + 1, "%020" PRIu64 "-%s" ARCHIVE, number, hex);
}

void version_manifest_name(
    uint64_t number, const uint8_t digest[8], char name_r[VERSION_MANIFEST_LEN + 1])
{
	char hex[16 + 1];
	sodium_bin2hex(hex, sizeof(hex), digest, 8);
	snprintf(name_r, VERSION_MANIFEST_LEN + 1, "%020" PRIu64 "-%s.manifest", number, hex);
}

struct version *versions_find(struct versions *versions, uint64_t number)
{
	for (size_t i = 0; i < versions->n; i++)
		if (versions->item[i].number == number)
			return &versions->item[i];
	return NULL;
}

bool versions_have_object(const struct versions *versions, const char *object)
{
	for (size_t i = 0; i < versions->n; i++)
		if (strcmp(versions->item[i].object, object) == 0)
			return true;
	return false;
}

void versions_add(struct versions *versions, const struct version *version, size_t keep,
    version_dropped dropped, void *arg)
{
	const struct version added = *version;
	while (versions->n > 0 && versions->n >= keep) {
		const struct version last = versions->item[--versions->n];
		if (dropped)
			dropped(arg, &last);
	}
	memmove(versions->item + 1, versions->item, versions->n * sizeof(versions->item[0]));
	versions->item[0] = added;
	versions->n++;
}

void versions_remove(struct versions *versions, uint64_t number)
{
	struct version *version = versions_find(versions, number);
	if (!version)
		return;
	size_t i = (size_t)(version - versions->item);
	memmove(version, version + 1, (versions->n - i - 1) * sizeof(*version));
	versions->n--;
}
