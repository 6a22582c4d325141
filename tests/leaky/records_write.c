/* A vault that writes each secret that it stores to its log, on purpose, by the linker's --wrap: the check for leaks (tests/integration/test_vault_leaks.py)
 * has to find it. Never part of a program that is installed. */
#include <stdio.h>

#include "common/log.h"
#include "services/secret-vault/records.h"

/* NOLINTBEGIN(bugprone-reserved-identifier,readability-identifier-naming): the linker's names */
int __real_records_write(struct desk *desk, const struct open_period *period, const char *kind,
    const char *name, const void *value, size_t len, const char *preview, uint64_t *version_r,
    struct error *err);
int __wrap_records_write(struct desk *desk, const struct open_period *period, const char *kind,
    const char *name, const void *value, size_t len, const char *preview, uint64_t *version_r,
    struct error *err);

int __wrap_records_write(struct desk *desk, const struct open_period *period, const char *kind,
    const char *name, const void *value, size_t len, const char *preview, uint64_t *version_r,
    struct error *err)
{
	char text[256];

	snprintf(text, sizeof(text), "%.*s", (int)len, (const char *)value);
	log_info("stored", "name", name, "value", text);
	return __real_records_write(desk, period, kind, name, value, len, preview, version_r, err);
}
/* NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming) */
