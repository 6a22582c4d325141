/* web - the command line's side of the HTTP edge: one blocking request at a time, by libcurl. */
#ifndef SERVICES_CLI_WEB_H
#define SERVICES_CLI_WEB_H

#include <jansson.h>

#include "services/cli/cli.h"
#include "services/cli/session_file.h"

#define WEB_TOKEN_MAX SESSION_TOKEN_MAX
#define WEB_COOKIE "__Host-multiclaw"
#define WEB_COOKIE_AGENT "__Host-multiclaw-agent"
#define WEB_COOKIE_STATE "__Host-multiclaw-state"
#define WEB_BASE64URL "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

struct web_answer {
	long status;
	json_t *json; /* NULL if the body was not JSON */
	char *body;   /* NUL-terminated */
	size_t len;
	char token[WEB_TOKEN_MAX + 1]; /* of Set-Cookie, the one that was wanted; "" if none */
};
/* Wipes: an answer may hold a token or a key. */
void web_answer_free(struct web_answer *answer);
#define scoped_answer __attribute__((cleanup(web_answer_free)))

/* Performs a request beside others of its own, and says when it has ended. */
struct web_loop {
	int (*perform)(void *arg, void *easy); /* a CURL *; a CURLcode */
	void *arg;
	struct curl_slist *connect_to; /* as CURLOPT_CONNECT_TO; NULL: where the URL says */
	long timeout_ms;               /* 0: 30 s */
};

struct web_question {
	const char *method, *url; /* absolute */
	const char *body;         /* JSON; NULL: none */
	const char *cookie;       /* the name that token goes by; NULL: none is sent */
	const char *token;        /* NULL or "": none is sent */
	const char *origin;       /* NULL: none is sent */
	const char *wanted;       /* the cookie to take from the answer; NULL: the console's */
	void (*meanwhile)(
	    void *arg); /* called now and then until the answer is there; NULL: nothing is */
	void *arg;
	const struct web_loop *loop; /* NULL: the request is performed alone */
};
/* An answer of any status is a success here. */
int web_ask(const struct web_question *question, struct web_answer *answer_r, struct error *err);
/* The same with the console's token, which may be NULL. */
int web_request(const char *method, const char *url, const char *body, const char *token,
    struct web_answer *answer_r, struct error *err);
/* Streams the body line by line until the server ends it or line returns false. */
int web_stream(const char *url, const char *token, bool (*line)(void *arg, const char *text),
    void *arg, struct error *err);

/* A request with the session of the file to path of its console. A problem+json answer becomes an error, and so does one that is neither 204 nor a JSON
 * object: it is none of the service's. */
int web_call(struct cli *cli, const char *method, const char *path, const char *body,
    struct web_answer *answer_r, struct error *err);
/* The same, and meanwhile is called every half second until the answer is there; NULL: it is not. It may make requests of its own. */
int web_call_meanwhile(struct cli *cli, const char *method, const char *path, const char *body,
    void (*meanwhile)(void *arg), void *arg, struct web_answer *answer_r, struct error *err);
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
