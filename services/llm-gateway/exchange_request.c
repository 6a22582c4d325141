#include <arpa/inet.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/log.h"
#include "services/llm-gateway/exchange_internal.h"
#include "services/llm-gateway/fields.h"

/* What the head's fields say, all of them. */
struct head {
	struct exchange *exchange;
	const char *host, *length, *coding, *connection;
	unsigned hosts, lengths, codings, connections, tokens, good_tokens, fields;
	size_t bytes;
	bool is_malformed, has_upgrade, has_accept;
};

static void note_token(struct head *head, const char *name, const char *value)
{
	const struct agent *agent = head->exchange->agent;
	const char *token;

	if (!fields_hold_token(name, value, &token))
		return;
	head->tokens++;
	head->good_tokens += agent && secret_equal(agent->token, token, strlen(token));
}

static void note_framing(struct head *head, const char *name, const char *value)
{
	static const char *const names[] = {
	    "host", "content-length", "transfer-encoding", "connection"};
	const char **const values[] = {
	    &head->host, &head->length, &head->coding, &head->connection};
	unsigned *const counts[] = {
	    &head->hosts, &head->lengths, &head->codings, &head->connections};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (strcasecmp(name, names[i]) == 0) {
			*values[i] = value;
			++*counts[i];
		}
	}
	head->has_upgrade |= strcasecmp(name, "upgrade") == 0;
	head->has_accept |= strcasecmp(name, "accept") == 0;
}

static enum MHD_Result on_field(void *arg, enum MHD_ValueKind kind, const char *name,
    size_t name_len, const char *value, size_t value_len)
{
	struct head *head = arg;

	(void)kind;
	head->bytes += name_len + value_len + 4;
	head->fields++;
	value = value ? value : "";
	if (!fields_is_name(name, name_len) || strlen(value) != value_len ||
	    !fields_is_value(value, value_len)) {
		head->is_malformed = true;
		return MHD_NO;
	}
	note_token(head, name, value);
	note_framing(head, name, value);
	return MHD_YES;
}

/* ---- what may be wrong with it */

static bool is_own_host(const struct exchange *exchange, const char *host)
{
	struct sockaddr_in own = {0};
	socklen_t len = sizeof(own);
	char text[INET_ADDRSTRLEN], whole[INET_ADDRSTRLEN + 8];

	if (getsockname(exchange->fd, (struct sockaddr *)&own, &len) != 0 ||
	    own.sin_family != AF_INET || !inet_ntop(AF_INET, &own.sin_addr, text, sizeof(text)))
		return false;
	snprintf(whole, sizeof(whole), "%s:%u", text, ntohs(own.sin_port));
	return strcmp(host, whole) == 0;
}

static bool is_well_framed(struct exchange *exchange, const struct head *head)
{
	exchange->body_len = 0;
	if (head->lengths > 1 || head->codings > 1 || (head->lengths && head->codings))
		return false;
	if (head->codings) {
		exchange->body_len = EXCHANGE_LENGTH_UNKNOWN;
		return strcasecmp(head->coding, "chunked") == 0;
	}
	if (!head->lengths)
		return true;
	size_t digits = strspn(head->length, "0123456789");
	exchange->body_len = strtoull(head->length, NULL, 10);
	return digits > 0 && digits < 19 && head->length[digits] == '\0';
}

static const char *wrong_with(struct exchange *exchange, const struct head *head)
{
	if (head->is_malformed || head->fields > EXCHANGE_FIELDS_MAX ||
	    head->bytes > EXCHANGE_HEAD_MAX || head->connections > 1)
		return "head_malformed";
	if (!is_well_framed(exchange, head))
		return "framing_malformed";
	if (head->hosts != 1 || !is_own_host(exchange, head->host))
		return "host_unknown";
	if (head->has_upgrade || (head->connection && fields_lists(head->connection, "upgrade")))
		return "upgrade_refused";
	return NULL;
}

static bool is_method(const char *method)
{
	static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"};

	for (size_t i = 0; i < ARRAY_LEN(methods); i++)
		if (strcmp(method, methods[i]) == 0)
			return true;
	return false;
}

/* ---- who calls */

static void find_agent(struct exchange *exchange)
{
	const union MHD_ConnectionInfo *info =
	    MHD_get_connection_info(exchange->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	const struct sockaddr_in *peer =
	    (const struct sockaddr_in *)(const void *)info->client_addr;

	if (!peer || peer->sin_family != AF_INET || !exchange->gateway->agents)
		return;
	exchange->agent = agents_at(exchange->gateway->agents, peer->sin_addr);
	if (!exchange->agent)
		return;
	TAILQ_INSERT_TAIL(&exchange->agent->exchanges, exchange, link);
	snprintf(exchange->agent_id, sizeof(exchange->agent_id), "%s", exchange->agent->id);
}

/* ---- the fields that go on */

struct copying {
	struct exchange *exchange;
	const char *connection;
};

static void put_field(struct curl_slist **list, const char *name, const char *value)
{
	char *text = NULL;

	/* libcurl's word for a field without a value */
	bug_if(asprintf(&text, value[0] ? "%s: %s" : "%s;", name, value) < 0);
	struct curl_slist *grown = curl_slist_append(*list, text);
	bug_if(!grown);
	*list = grown;
	sodium_memzero(text, strlen(text));
	free(text);
}

static enum MHD_Result copy_field(
    void *arg, enum MHD_ValueKind kind, const char *name, const char *value)
{
	const struct copying *copying = arg;
	struct exchange *exchange = copying->exchange;

	(void)kind;
	if (fields_go_up(name, copying->connection, exchange->target.provider))
		put_field(&exchange->fields, name, value ? value : "");
	return MHD_YES;
}

static void copy_fields(struct exchange *exchange, const struct head *head)
{
	struct copying copying = {exchange, head->connection ? head->connection : ""};

	MHD_get_connection_values(exchange->connection, MHD_HEADER_KIND, copy_field, &copying);
	struct curl_slist *list = exchange->fields;
	list = curl_slist_append(list, "Accept-Encoding: identity");
	list = curl_slist_append(list, "Expect:");
	if (!head->has_accept)
		list = curl_slist_append(list, "Accept:");
	bug_if(!list);
	exchange->fields = list;
}

/* ---- all of it, in this order: nothing of what is offered is told to who is not known */

static void refuse_head(struct exchange *exchange, const char *code)
{
	exchange_refuse(exchange, 400, code,
	    "the request's head holds something that is not taken here, or says a thing twice");
}

static void judge_target(struct exchange *exchange, int wrong, const struct error *err)
{
	if (!is_method(exchange->method))
		exchange_refuse(exchange, 405, "method_refused", "this method is not offered here");
	else if (wrong)
		exchange_refuse(
		    exchange, err->code == ERR_NOT_FOUND ? 404 : 400, err->reason, err->text);
	else if (exchange->body_len != EXCHANGE_LENGTH_UNKNOWN &&
		 exchange->body_len > exchange->gateway->body_max_mib << 20)
		exchange_refuse(
		    exchange, 413, "body_too_large", "the request is larger than taken here");
}

static void judge_caller(struct exchange *exchange, const struct head *head)
{
	if (exchange->agent && head->tokens > 0 && head->tokens == head->good_tokens)
		return;
	log_audit("refused", "why",
	    exchange->agent ? "not the token of this agent's boot" : "no agent has this address",
	    "agent", exchange->agent_id[0] ? exchange->agent_id : NULL);
	exchange_refuse(exchange, 401, "token_refused", "not the token that this agent was given");
}

void exchange_judge(struct exchange *exchange, const char *method)
{
	struct head head = {.exchange = exchange};
	struct error err = {0}, why = {0};
	int wrong =
	    target_read(exchange->text, exchange->gateway->providers, &exchange->target, &why);

	snprintf(exchange->method, sizeof(exchange->method), "%s", method);
	find_agent(exchange);
	MHD_get_connection_values_n(exchange->connection, MHD_HEADER_KIND, on_field, &head);
	const char *code = wrong_with(exchange, &head);
	if (gateway_serves(exchange->gateway, &err) != 0) {
		exchange_refuse(exchange, 503, err.reason, err.text);
		exchange->refusal.retry_after_s = 1;
	} else if (code) {
		refuse_head(exchange, code);
	} else {
		judge_caller(exchange, &head);
		judge_target(exchange, wrong, &why);
	}
	if (!exchange->refusal.status)
		copy_fields(exchange, &head);
}
