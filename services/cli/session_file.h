/* session_file - where the command line keeps its session, and the one of the agent's origin that belongs to it: one JSON file, 0600, replaced atomically. */
#ifndef SERVICES_CLI_SESSION_FILE_H
#define SERVICES_CLI_SESSION_FILE_H

#include "common/error.h"

#define SESSION_TOKEN_MAX 2048

struct session_file {
	char url[256]; /* of the console it was opened at; the token is sent nowhere else */
	char token[SESSION_TOKEN_MAX + 1];
	char asset[45];
	char agent_id[33];
	/* of the agent's origin, "" if it was not entered; ends with the other, and is sent to that origin alone */
	char agent_token[SESSION_TOKEN_MAX + 1];
};

/* ERR_UNAUTHENTICATED with reason session_missing if there is none. */
int session_file_read(const char *path, struct session_file *file_r, struct error *err);
int session_file_write(const char *path, const struct session_file *file, struct error *err);
/* No file is no error. */
int session_file_remove(const char *path, struct error *err);

#endif
