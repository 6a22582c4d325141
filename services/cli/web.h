/* web - the command line's side of the HTTP edge: one blocking request at a time, by libcurl. */
#ifndef SERVICES_CLI_WEB_H
#define SERVICES_CLI_WEB_H

#include <jansson.h>

#include "services/cli/cli.h"
#include "services/cli/session_file.h"

struct web_answer {
	long status;
	json_t *json; /* NULL if the body was not JSON */
	char *body;   /* NUL-terminated */
	size_t len;
	char token[2049]; /* of Set-Cookie __Host-multiclaw, "" if none */
};
/* Wipes: an answer may hold a token or a key. */
void web_answer_free(struct web_answer *answer);
#define scoped_answer __attribute__((cleanup(web_answer_free)))

/* url: absolute. body may be NULL; token may be NULL. An answer of any status is a success here. */
int web_request(const char *method, const char *url, const char *body, const char *token,
    struct web_answer *answer_r, struct error *err);
/* Streams the body line by line until the server ends it or line returns false. */
int web_stream(const char *url, const char *token, bool (*line)(void *arg, const char *text),
    void *arg, struct error *err);

/* A request with the session of the file to path of its console. A problem+json answer becomes an error, and so does one that is neither 204 nor a JSON
 * object: it is none of the service's. */
int web_call(struct cli *cli, const char *method, const char *path, const char *body,
    struct web_answer *answer_r, struct error *err);
/* The same where 204 alone says that it is done. */
int web_change(
    struct cli *cli, const char *method, const char *path, const char *body, struct error *err);
/* A member that is a list, or NULL with an error. Borrowed from answer. */
const json_t *web_list(const struct web_answer *answer, const char *name, struct error *err);
/* A member's text, "" if there is none. Borrowed from doc. */
const char *web_text(const json_t *doc, const char *name);
/* The error a problem+json answer stands for. Returns -1. */
int web_problem(const struct web_answer *answer, struct error *err);

#endif
