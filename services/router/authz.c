#include "services/router/authz.h"

#include <event2/util.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/http_server.h"
#include "services/router/asked.h"
#include "services/router/gate.h"
#include "services/router/problem.h"
#include "services/router/router.h"

#define OUTCOMES(X) \
	X(ALLOWED, "allowed", 200) \
	X(UNAUTHENTICATED, "unauthenticated", 401) \
	X(HOST_REFUSED, "host_refused", 403) \
	X(ORIGIN_REFUSED, "origin_refused", 403) \
	X(WORKER_REFUSED, "service_worker_refused", 403) \
	X(OTHER_AGENT, "not_owner", 403) \
	X(BUSY, "rate_limited", 429) \
	X(STARTING, "agent_starting", 503) \
	X(CHAIN, "chain_unavailable", 503) \
	X(UNAVAILABLE, "service_unavailable", 503)
enum outcome {
#define OUTCOME_ENUM(name, text, status) OUTCOME_##name,
	OUTCOMES(OUTCOME_ENUM)
#undef OUTCOME_ENUM
	    NOUTCOMES
};
static const struct {
	const char *reason;
	int status;
} outcomes[NOUTCOMES] = {
#define OUTCOME_ROW(name, text, code) {text, code},
    OUTCOMES(OUTCOME_ROW)
#undef OUTCOME_ROW
};
#define RETRY_AFTER_S 2

/* Where the knowledge came from. */
enum source { SOURCE_NONE, SOURCE_HIT, SOURCE_MISS, NSOURCES };
static const char *const source_names[NSOURCES] = {"none", "hit", "miss"};

struct authz {
	struct router *router;
	const struct asked_dialect *dialect;
	struct http_server *server;
	struct metric *count[NOUTCOMES][NSOURCES];
	struct histogram *latency[NSOURCES];
};

/* A question to session is on its way. */
struct waiting {
	struct authz *authz;
	struct http_request *request;
	uint64_t began_us;
	char agent[AGENT_ID_LEN + 1];
	char cookie[]; /* to forward */
};

static void read_header(void *arg, const char *name, const char *value)
{
	asked_add(arg, name, value);
}

/* The one place that says whose sessions open an agent: its own (agent:<id>), and the console's of the same asset, because there is no ticket
 * yet by which a browser could get the former. With tickets, the console's is refused here. */
static bool accepts_audience(enum decision_audience audience)
{
	return audience == DECISION_AGENT || audience == DECISION_CONSOLE;
}

static void count(struct authz *authz, enum outcome outcome, enum source source, uint64_t began_us)
{
	metric_add(authz->count[outcome][source], 1);
	histogram_observe_us(authz->latency[source], clock_boot_us() - began_us);
}

static void refuse(struct authz *authz, struct http_request *request, enum outcome outcome)
{
	int status = outcomes[outcome].status;
	unsigned retry_after_s = status == 503 || status == 429 ? RETRY_AFTER_S : 0;
	http_reply_header(request, "X-Multiclaw-Reason", outcomes[outcome].reason);
	if (!authz->dialect->only_200_401_403) {
		http_reply_problem(request, status, outcomes[outcome].reason, NULL, retry_after_s);
		return;
	}
	if (retry_after_s) {
		http_reply_header(request, "X-Multiclaw-Status", status == 429 ? "429" : "503");
		http_reply_header(request, "Retry-After", "2");
		status = 403;
	}
	http_reply_empty(request, status);
}

static enum outcome allow(struct authz *authz, struct http_request *request, const char *asset,
    const char *wallet, const char *cookie)
{
	if (authz->router->agent_upstream[0] == '\0') {
		refuse(authz, request, OUTCOME_STARTING);
		return OUTCOME_STARTING;
	}
	http_reply_header(request, "X-Multiclaw-Asset", asset);
	http_reply_header(request, "X-Multiclaw-Wallet", wallet);
	http_reply_header(request, "X-Multiclaw-Upstream", authz->router->agent_upstream);
	if (cookie[0])
		http_reply_header(request, "X-Multiclaw-Cookie", cookie);
	http_reply_empty(request, 200);
	return OUTCOME_ALLOWED;
}

static enum outcome outcome_of(const struct error *err)
{
	switch (err->code) {
	case ERR_INVALID:
	case ERR_UNAUTHENTICATED:
	case ERR_DENIED:
	case ERR_NOT_FOUND:
		return OUTCOME_UNAUTHENTICATED;
	case ERR_BUSY:
		return OUTCOME_BUSY;
	default:
		return strcmp(err->reason, "chain_unavailable") == 0 ? OUTCOME_CHAIN
								     : OUTCOME_UNAVAILABLE;
	}
}

static enum outcome judge_answer(const struct waiting *waiting,
    const struct session_check_rsp *session, enum decision_audience audience,
    const struct error *err)
{
	uint8_t asset[PUBKEY_LEN];
	char own[AGENT_ID_LEN + 1];
	if (err)
		return outcome_of(err);
	if (!accepts_audience(audience) || pubkey_parse(session->asset, asset) != 0)
		return OUTCOME_UNAUTHENTICATED;
	agent_id(asset, own);
	return strcmp(own, waiting->agent) == 0 ? OUTCOME_ALLOWED : OUTCOME_OTHER_AGENT;
}

static void on_answer(void *arg, const struct session_check_rsp *session,
    enum decision_audience audience, const struct error *err)
{
	struct waiting *waiting = arg;
	struct authz *authz = waiting->authz;
	enum outcome outcome = judge_answer(waiting, session, audience, err);
	if (outcome == OUTCOME_ALLOWED)
		outcome = allow(
		    authz, waiting->request, session->asset, session->wallet, waiting->cookie);
	else
		refuse(authz, waiting->request, outcome);
	count(authz, outcome, SOURCE_MISS, waiting->began_us);
	free(waiting);
}

static void ask(struct authz *authz, struct http_request *request, const struct asked *asked,
    const char *agent, uint64_t began_us)
{
	struct waiting *waiting = malloc(sizeof(*waiting) + asked->cookies.forward_len + 1);
	bug_if(!waiting);
	waiting->authz = authz;
	waiting->request = request;
	waiting->began_us = began_us;
	memcpy(waiting->agent, agent, sizeof(waiting->agent));
	memcpy(waiting->cookie, asked->cookies.forward, asked->cookies.forward_len + 1);
	gate_ask(authz->router,
	    &(struct gate_question){
		.token = asked_session(asked),
		.timeout_ms = GATE_DECISION_MS,
		.trace = http_request_id(request),
	    },
	    on_answer, waiting);
}

static enum outcome answer_from_table(struct authz *authz, struct http_request *request,
    const struct asked *asked, const struct decision_entry *found, enum decision_verdict verdict)
{
	char asset[PUBKEY_TEXT_MAX + 1], wallet[PUBKEY_TEXT_MAX + 1];
	enum outcome outcome =
	    verdict == DECISION_OTHER ? OUTCOME_OTHER_AGENT : OUTCOME_UNAUTHENTICATED;
	if (verdict == DECISION_ALLOW && accepts_audience(found->audience))
		return allow(authz, request, pubkey_text(found->asset, asset),
		    pubkey_text(found->wallet, wallet), asked->cookies.forward);
	refuse(authz, request, outcome);
	return outcome;
}

/* Everything that is decided without looking for a session. */
static enum outcome judge_request(const struct authz *authz, const struct http_request *request,
    const struct asked *asked, char agent_r[AGENT_ID_LEN + 1])
{
	static const enum outcome outcome_for[] = {
	    [ASKED_GO_ON] = OUTCOME_ALLOWED,
	    [ASKED_UNAUTHENTICATED] = OUTCOME_UNAUTHENTICATED,
	    [ASKED_HOST_REFUSED] = OUTCOME_HOST_REFUSED,
	    [ASKED_ORIGIN_REFUSED] = OUTCOME_ORIGIN_REFUSED,
	    [ASKED_WORKER_REFUSED] = OUTCOME_WORKER_REFUSED,
	};
	struct error err;
	if (gate_open(authz->router, &err) != 0)
		return outcome_of(&err);
	return outcome_for[asked_judge(
	    asked, authz->dialect, &authz->router->names, http_method(request), agent_r)];
}

static bool is_ours(const struct authz *authz, const char *path)
{
	static const char endpoint[] = "/authz";
	size_t len = sizeof(endpoint) - 1;
	return strncmp(path, endpoint, len) == 0 &&
	       (path[len] == '\0' || (authz->dialect->path_is_prefix && path[len] == '/'));
}

static void on_request(void *arg, struct http_request *request)
{
	struct authz *authz = arg;
	uint64_t began_us = clock_boot_us();
	struct asked asked;
	char agent[AGENT_ID_LEN + 1];
	const struct decision_entry *found;

	if (!is_ours(authz, http_path(request))) {
		problem_reply_named(request, "not_found");
		return;
	}
	asked_init(&asked);
	http_headers(request, read_header, &asked);
	enum outcome outcome = judge_request(authz, request, &asked, agent);
	if (outcome != OUTCOME_ALLOWED) {
		refuse(authz, request, outcome);
		count(authz, outcome, SOURCE_NONE, began_us);
		return;
	}
	enum decision_verdict verdict =
	    gate_lookup(authz->router, asked_session(&asked), agent, &found);
	if (verdict == DECISION_MISS) {
		ask(authz, request, &asked, agent, began_us);
		return;
	}
	outcome = answer_from_table(authz, request, &asked, found, verdict);
	count(authz, outcome, SOURCE_HIT, began_us);
}

static void open_metrics(struct authz *authz, struct metrics *metrics)
{
	char labels[96];
	for (size_t s = 0; s < NSOURCES; s++) {
		snprintf(labels, sizeof(labels), "source=\"%s\"", source_names[s]);
		authz->latency[s] = metrics_histogram(
		    metrics, "multiclaw_decision_seconds", "Time to a decision.", labels);
		for (size_t o = 0; o < NOUTCOMES; o++) {
			snprintf(labels, sizeof(labels), "outcome=\"%s\",source=\"%s\"",
			    outcomes[o].reason, source_names[s]);
			authz->count[o][s] = metrics_counter(metrics, "multiclaw_decisions_total",
			    "Decisions about requests to agents.", labels);
		}
	}
}

static int check_upstream(const char *address, struct error *err)
{
	struct sockaddr_storage ss;
	int len = sizeof(ss);
	const char *colon = strrchr(address, ':');
	if (address[0] == '\0')
		return 0;
	if (!colon || colon[1] == '\0' || strchr(colon, ']') ||
	    evutil_parse_sockaddr_port(address, (struct sockaddr *)&ss, &len) != 0)
		return error_set(err, ERR_INVALID,
		    "MULTICLAW_AGENT_UPSTREAM '%s' is not a numeric address and port", address);
	return 0;
}

struct authz *authz_new(struct router *router, struct error *err)
{
	const struct asked_dialect *dialect = asked_dialect(router->authz_dialect);
	if (!dialect) {
		error_set(err, ERR_INVALID,
		    "MULTICLAW_AUTHZ_DIALECT '%s' is not nginx, traefik or envoy",
		    router->authz_dialect);
		return NULL;
	}
	if (check_upstream(router->agent_upstream, err) != 0)
		return NULL;
	struct authz *authz = calloc(1, sizeof(*authz));
	bug_if(!authz);
	authz->router = router;
	authz->dialect = dialect;
	open_metrics(authz, router->process->metrics);
	authz->server =
	    http_server_new(router->process->base, router->authz_listen, on_request, authz, err);
	if (!authz->server)
		authz_destroy(&authz);
	return authz;
}

void authz_destroy(struct authz **authz)
{
	if (!*authz)
		return;
	http_server_destroy(&(*authz)->server);
	free(*authz);
	*authz = NULL;
}
