/* session_file - where the command line keeps its session: one JSON file, 0600, replaced atomically. */
#ifndef SERVICES_CLI_SESSION_FILE_H
#define SERVICES_CLI_SESSION_FILE_H

#include "common/error.h"

struct session_file {
	char url[256]; /* of the console it was opened at; the token is sent nowhere else */
	char token[2049];
	char asset[45];
	char agent_id[33];
};

/* ERR_UNAUTHENTICATED with reason session_missing if there is none. */
int session_file_read(const char *path, struct session_file *file_r, struct error *err);
int session_file_write(const char *path, const struct session_file *file, struct error *err);
/* No file is no error. */
int session_file_remove(const char *path, struct error *err);

#endif
