#include "services/router/authz.h"

#include <event2/util.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/http_server.h"
#include "services/router/asked.h"
#include "services/router/gate.h"
#include "services/router/problem.h"
#include "services/router/reach.h"
#include "services/router/router.h"

#define OUTCOMES(X) \
	X(ALLOWED, "allowed", 200, NULL) \
	X(UNAUTHENTICATED, "unauthenticated", 401, NULL) \
	X(HOST_REFUSED, "host_refused", 403, NULL) \
	X(ORIGIN_REFUSED, "origin_refused", 403, NULL) \
	X(WORKER_REFUSED, "service_worker_refused", 403, NULL) \
	X(OTHER_AGENT, "not_owner", 403, NULL) \
	X(BUSY, "rate_limited", 429, "2") \
	X(STARTING, "agent_starting", 503, "1") \
	X(STOPPED, "agent_stopped", 503, "30") \
	X(FAILED, "agent_failed", 503, "30") \
	X(HOST_SILENT, "agent_host_unavailable", 503, "2") \
	X(HOST_FULL, "host_full", 503, "30") \
	X(CHAIN, "chain_unavailable", 503, "2") \
	X(UNAVAILABLE, "service_unavailable", 503, "2")
enum outcome {
#define OUTCOME_ENUM(name, text, status, retry_after_s) OUTCOME_##name,
	OUTCOMES(OUTCOME_ENUM)
#undef OUTCOME_ENUM
	    NOUTCOMES
};
static const struct {
	const char *reason;
	int status;
	const char *retry_after_s; /* of what passes by itself */
} outcomes[NOUTCOMES] = {
#define OUTCOME_ROW(name, text, code, retry_after_s) {text, code, retry_after_s},
    OUTCOMES(OUTCOME_ROW)
#undef OUTCOME_ROW
};

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

/* Asked from the outside by one request, answered when others have: session says who asks, then a sandbox says where the agent is. */
struct waiting {
	struct authz *authz;
	struct http_request *request;
	uint64_t began_us, deadline; /* Unix ms */
	char agent[AGENT_ID_LEN + 1];
	uint8_t asset[PUBKEY_LEN], wallet[PUBKEY_LEN];
	bool is_worker; /* a service worker's script is asked for */
	size_t token_len;
	char token[COOKIE_TOKEN_MAX + 1];
	char cookie[]; /* to forward */
};

/* What an allow carries. */
struct allowed {
	const uint8_t *asset, *wallet;
	const char *cookie;
};

static void read_header(void *arg, const char *name, const char *value)
{
	asked_add(arg, name, value);
}

/* The one place that says whose sessions open an agent: its own (agent:<id>). The console's is refused, as the API refuses the agents'. */
static bool accepts_audience(enum decision_audience audience)
{
	return audience == DECISION_AGENT;
}

static void count(struct authz *authz, enum outcome outcome, enum source source, uint64_t began_us)
{
	metric_add(authz->count[outcome][source], 1);
	histogram_observe_us(authz->latency[source], clock_boot_us() - began_us);
}

static void refuse(struct authz *authz, struct http_request *request, enum outcome outcome)
{
	int status = outcomes[outcome].status;
	const char *retry_after_s = outcomes[outcome].retry_after_s;
	http_reply_header(request, "X-Multiclaw-Reason", outcomes[outcome].reason);
	if (!authz->dialect->only_200_401_403) {
		http_reply_problem(request, status, outcomes[outcome].reason, NULL,
		    retry_after_s ? (unsigned)strtoul(retry_after_s, NULL, 10) : 0);
		return;
	}
	if (retry_after_s) {
		http_reply_header(request, "X-Multiclaw-Status", status == 429 ? "429" : "503");
		http_reply_header(request, "Retry-After", retry_after_s);
		status = 403;
	}
	http_reply_empty(request, status);
}

static void allow(
    struct http_request *request, const struct allowed *allowed, const struct place *place)
{
	char text[PUBKEY_TEXT_MAX + 1];
	http_reply_header(request, "X-Multiclaw-Asset", pubkey_text(allowed->asset, text));
	http_reply_header(request, "X-Multiclaw-Wallet", pubkey_text(allowed->wallet, text));
	http_reply_header(request, "X-Multiclaw-Upstream", place->upstream);
	if (place->token[0])
		http_reply_header(request, "X-Multiclaw-Agent-Token", place->token);
	if (allowed->cookie[0])
		http_reply_header(request, "X-Multiclaw-Cookie", allowed->cookie);
	http_reply_empty(request, 200);
}

static enum outcome outcome_of(const struct error *err)
{
	static const enum outcome by_reason[] = {
	    OUTCOME_CHAIN, OUTCOME_HOST_SILENT, OUTCOME_HOST_FULL};
	for (size_t i = 0; i < ARRAY_LEN(by_reason); i++)
		if (strcmp(err->reason, outcomes[by_reason[i]].reason) == 0)
			return by_reason[i];
	switch (err->code) {
	case ERR_INVALID:
	case ERR_UNAUTHENTICATED:
	case ERR_DENIED:
	case ERR_NOT_FOUND:
		return OUTCOME_UNAUTHENTICATED;
	case ERR_BUSY:
		return OUTCOME_BUSY;
	default:
		return OUTCOME_UNAVAILABLE;
	}
}

/* Session has said yes. What a sandbox calls invalid or missing is something about the agent, not about who asks. */
static enum outcome outcome_at_sandbox(const struct error *err)
{
	switch (err->code) {
	case ERR_INVALID:
	case ERR_NOT_FOUND:
	case ERR_CONFLICT:
		return OUTCOME_FAILED;
	default:
		return outcome_of(err);
	}
}

/* A service worker would outlive what is said here of its agent's pages: only where the owner wants one. */
static enum outcome judge_worker(bool is_worker, const struct place *place)
{
	return is_worker && !place->allows_workers ? OUTCOME_WORKER_REFUSED : OUTCOME_ALLOWED;
}

/* Without containers one address serves every agent, or none does. */
static bool place_known(
    const struct router *router, const uint8_t asset[PUBKEY_LEN], struct place *place_r)
{
	if (router->sandboxes)
		return reach_lookup(router->reaches, asset, place_r);
	*place_r = (struct place){.upstream = router->agent_upstream, .token = ""};
	return router->agent_upstream[0];
}

static void waiting_end(struct waiting *waiting, enum outcome outcome)
{
	if (outcome != OUTCOME_ALLOWED)
		refuse(waiting->authz, waiting->request, outcome);
	count(waiting->authz, outcome, SOURCE_MISS, waiting->began_us);
	sodium_memzero(waiting->token, waiting->token_len);
	free(waiting);
}

static void on_place(
    void *arg, enum reach_state state, const struct place *place, const struct error *err)
{
	static const enum outcome outcome_for[] = {
	    [REACH_RUNNING] = OUTCOME_ALLOWED,
	    [REACH_STARTING] = OUTCOME_STARTING,
	    [REACH_STOPPED] = OUTCOME_STOPPED,
	    [REACH_FAILED] = OUTCOME_FAILED,
	};
	struct waiting *waiting = arg;
	struct error gone;
	enum outcome outcome = err ? outcome_at_sandbox(err) : outcome_for[state];
	/* what was true when the session was judged must still be: the way to the sandbox took a while */
	if (outcome == OUTCOME_ALLOWED && gate_open(waiting->authz->router, &gone) != 0)
		outcome = outcome_of(&gone);
	if (outcome == OUTCOME_ALLOWED)
		outcome = judge_worker(waiting->is_worker, place);
	if (outcome == OUTCOME_ALLOWED)
		allow(waiting->request,
		    &(struct allowed){waiting->asset, waiting->wallet, waiting->cookie}, place);
	waiting_end(waiting, outcome);
}

static void find_place(struct waiting *waiting)
{
	struct router *router = waiting->authz->router;
	struct place place;
	if (place_known(router, waiting->asset, &place)) {
		on_place(waiting, REACH_RUNNING, &place, NULL);
	} else if (!router->sandboxes) {
		waiting_end(waiting, OUTCOME_STARTING);
	} else {
		reach_ask(router->reaches,
		    &(struct reach_question){
			.asset = waiting->asset,
			.token = {waiting->token, waiting->token_len},
			.deadline = waiting->deadline,
			.trace = http_request_id(waiting->request),
		    },
		    on_place, waiting);
	}
}

static enum outcome judge_answer(struct waiting *waiting, const struct session_check_rsp *session,
    enum decision_audience audience, const struct error *err)
{
	char own[AGENT_ID_LEN + 1];
	if (err)
		return outcome_of(err);
	if (!accepts_audience(audience) || pubkey_parse(session->asset, waiting->asset) != 0 ||
	    pubkey_parse(session->wallet, waiting->wallet) != 0)
		return OUTCOME_UNAUTHENTICATED;
	agent_id(waiting->asset, own);
	return strcmp(own, waiting->agent) == 0 ? OUTCOME_ALLOWED : OUTCOME_OTHER_AGENT;
}

static void on_session(void *arg, const struct session_check_rsp *session,
    enum decision_audience audience, const struct error *err)
{
	struct waiting *waiting = arg;
	enum outcome outcome = judge_answer(waiting, session, audience, err);
	if (outcome == OUTCOME_ALLOWED)
		find_place(waiting);
	else
		waiting_end(waiting, outcome);
}

static struct waiting *waiting_new(struct authz *authz, struct http_request *request,
    const struct asked *asked, const char *agent, uint64_t began_us)
{
	struct waiting *waiting = calloc(1, sizeof(*waiting) + asked->cookies.forward_len + 1);
	struct cookie_value token = asked_session(asked);
	bug_if(!waiting || token.len > COOKIE_TOKEN_MAX);
	waiting->authz = authz;
	waiting->request = request;
	waiting->began_us = began_us;
	waiting->deadline = clock_unix_ms() + GATE_DECISION_MS;
	memcpy(waiting->agent, agent, sizeof(waiting->agent));
	waiting->is_worker = asked_is_worker(asked);
	waiting->token_len = token.len;
	memcpy(waiting->token, token.text, token.len);
	memcpy(waiting->cookie, asked->cookies.forward, asked->cookies.forward_len + 1);
	return waiting;
}

static void ask_session(struct waiting *waiting)
{
	gate_ask(waiting->authz->router,
	    &(struct gate_question){
		.token = {waiting->token, waiting->token_len},
		.timeout_ms = GATE_DECISION_MS,
		.trace = http_request_id(waiting->request),
	    },
	    on_session, waiting);
}

static void ask_place(struct waiting *waiting, const struct decision_entry *found)
{
	memcpy(waiting->asset, found->asset, PUBKEY_LEN);
	memcpy(waiting->wallet, found->wallet, PUBKEY_LEN);
	find_place(waiting);
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

static void answer_refused(struct authz *authz, struct http_request *request, enum outcome outcome,
    enum source source, uint64_t began_us)
{
	refuse(authz, request, outcome);
	count(authz, outcome, source, began_us);
}

static void answer_allowed(struct authz *authz, struct http_request *request,
    const struct allowed *allowed, const struct place *place, uint64_t began_us)
{
	allow(request, allowed, place);
	count(authz, OUTCOME_ALLOWED, SOURCE_HIT, began_us);
}

/* All but the agent's place, which may be known as well. */
static enum outcome judge_hit(const struct decision_entry *found, enum decision_verdict verdict)
{
	if (!accepts_audience(found->audience))
		return OUTCOME_UNAUTHENTICATED;
	return verdict == DECISION_OTHER ? OUTCOME_OTHER_AGENT : OUTCOME_ALLOWED;
}

static void on_request(void *arg, struct http_request *request)
{
	struct authz *authz = arg;
	uint64_t began_us = clock_boot_us();
	struct asked asked;
	char agent[AGENT_ID_LEN + 1];
	const struct decision_entry *found;
	struct place place;

	if (!is_ours(authz, http_path(request))) {
		problem_reply_named(request, "not_found");
		return;
	}
	asked_init(&asked);
	http_headers(request, read_header, &asked);
	enum outcome outcome = judge_request(authz, request, &asked, agent);
	if (outcome != OUTCOME_ALLOWED) {
		answer_refused(authz, request, outcome, SOURCE_NONE, began_us);
		return;
	}
	enum decision_verdict verdict =
	    gate_lookup(authz->router, asked_session(&asked), agent, &found);
	if (verdict == DECISION_MISS) {
		ask_session(waiting_new(authz, request, &asked, agent, began_us));
		return;
	}
	outcome = judge_hit(found, verdict);
	bool is_known =
	    outcome == OUTCOME_ALLOWED && place_known(authz->router, found->asset, &place);
	if (is_known)
		outcome = judge_worker(asked_is_worker(&asked), &place);
	if (outcome != OUTCOME_ALLOWED)
		answer_refused(authz, request, outcome, SOURCE_HIT, began_us);
	else if (is_known)
		answer_allowed(authz, request,
		    &(struct allowed){found->asset, found->wallet, asked.cookies.forward}, &place,
		    began_us);
	else
		ask_place(waiting_new(authz, request, &asked, agent, began_us), found);
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
