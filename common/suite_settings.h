/* suite_settings - what the table cannot say: defaults that hang on the replica's name, and checks that look at more than one value. */
#ifndef COMMON_SUITE_SETTINGS_H
#define COMMON_SUITE_SETTINGS_H

#include "common/log.h"
#include "common/service.h"

/* Fills in what was left empty and refuses what must not start: a public URL that is plain http on a name that is not this machine's own,
 * a collection that is no address, a replica name that is no file name. service: "auth". */
int suite_settings_finish(struct suite_settings *settings, const char *service, struct error *err);
/* May a replica be called so? */
bool suite_settings_is_replica(const char *name);
/* One entry of MULTICLAW_SANDBOXES: "<replica>=<bus address>". address_r is borrowed from text. ERR_INVALID. */
#define SUITE_REPLICA_MAX 64
int suite_settings_sandbox(const char *text, char name_r[SUITE_REPLICA_MAX + 1],
    const char **address_r, struct error *err);
/* settings->log_level, checked by suite_settings_finish. */
enum log_level suite_settings_log_level(const struct suite_settings *settings);

#endif
