/* store_settings - what snapshot-store is told, beside what every program of the suite is told. */
#ifndef SNAPSHOT_STORE_STORE_SETTINGS_H
#define SNAPSHOT_STORE_STORE_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/service.h"

struct store_settings {
	char *replica;       /* MULTICLAW_STORE_REPLICA: of the sandbox that it serves */
	char *socket;        /* MULTICLAW_STORE_SOCKET */
	char *sandbox_user;  /* MULTICLAW_STORE_SANDBOX_USER */
	char *kind, *folder; /* MULTICLAW_STORE_KIND, _FOLDER */
	char *endpoint, *region, *bucket, *style;      /* MULTICLAW_STORE_S3_... */
	char *key_id_file, *secret_key_file, *ca_file; /* MULTICLAW_STORE_S3_..._FILE */
	bool allows_http;                              /* MULTICLAW_STORE_S3_ALLOW_HTTP */
	uint64_t uploads, tries, stall_s;              /* MULTICLAW_STORE_S3_... */

	/* made of them */
	uid_t sandbox_uid; /* 0: root alone, or who started it */
	gid_t sandbox_gid;
};
extern const struct setting store_settings_rows[];
extern const size_t store_settings_nrows;

/* Fills in what defaults to something else, and checks what the table cannot. */
int store_settings_finish(struct store_settings *settings, struct error *err);
bool store_settings_is_s3(const struct store_settings *settings);
/* Whether an endpoint's host[:port] is this machine's, or of a private network (RFC 1918, RFC 4193, link-local), by its address. */
bool store_settings_is_near(const char *host);

#endif
