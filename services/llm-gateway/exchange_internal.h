/* exchange_internal - what the files of exchange share. Nobody else includes it. */
#ifndef LLM_GATEWAY_EXCHANGE_INTERNAL_H
#define LLM_GATEWAY_EXCHANGE_INTERNAL_H

#include <event2/buffer.h>
#include <event2/event.h>

#include "services/llm-gateway/exchange.h"
#include "services/llm-gateway/gateway.h"
#include "services/llm-gateway/keys.h"
#include "services/llm-gateway/redact.h"
#include "services/llm-gateway/target.h"
#include "services/llm-gateway/usage.h"

#define EXCHANGE_BUFFER 65536 /* what is kept of either direction, and a libcurl buffer more */
#define EXCHANGE_FIELDS_MAX 100
#define EXCHANGE_HEAD_MAX 32768 /* bytes of a request's head */
#define EXCHANGE_ANSWER_HEAD_MAX \
	16384 /* and of an answer's: both fit into the memory of a connection */
#define EXCHANGE_LENGTH_UNKNOWN UINT64_MAX

/* Which call of the access handler comes next. */
enum exchange_stage { EXCHANGE_NEW, EXCHANGE_HEAD, EXCHANGE_BODY, EXCHANGE_ANSWER };

struct exchange_refusal {
	unsigned status; /* 0: none */
	char code[ERROR_REASON_MAX + 1], text[ERROR_TEXT_MAX];
	unsigned retry_after_s;
};

struct exchange {
	TAILQ_ENTRY(exchange) link; /* of its agent's */
	struct gateway *gateway;
	struct agent *agent; /* NULL: not known, or cut */
	char agent_id[AGENT_ID_LEN + 1], method[8];
	char *text;        /* of the target */
	const char *whole; /* where libmicrohttpd has it: only to be compared */
	struct target target;
	uint64_t began_us;

	/* the client's side */
	struct MHD_Connection *connection;
	int fd;
	enum exchange_stage stage;
	bool is_suspended, is_cut;
	struct exchange_refusal refusal;
	uint64_t body_len; /* as the client said */
	uint64_t up_bytes, down_bytes;
	struct event *gone; /* the client hangs up while nobody reads from it */

	/* between */
	struct evbuffer *up, *down;
	bool is_up_whole, wants_room;

	/* the provider's side */
	struct key_waiter waiter;
	struct key *key;
	uint64_t epoch;               /* of the agent, when it had the key */
	unsigned tries;               /* so often was its key void before it was used */
	TAILQ_ENTRY(exchange) unread; /* of the gateway's */
	struct event_id awaits;       /* has a key and waits until this event has been read */
	char awaits_history[HISTORY_MAX + 1];
	bool is_unread;
	struct redact *redact;
	CURL *easy;
	struct curl_slist *fields;
	char *key_field; /* of fields: holds the key */
	struct event *poke, *timer;
	bool is_up_paused, is_down_paused, is_over, has_failed;
	bool is_stale, is_fresh; /* what it got had something to read; wants a new one */
	int socket;              /* of a new connection */
	unsigned status;
	bool has_head;
	struct curl_slist *answer_fields;
	size_t answer_head_bytes;
	char answer_connection[256];
	uint64_t answer_len;
	bool is_answer_chunked, is_events;

	/* what it is counted as */
	struct account *account; /* NULL: it was not judged */
	struct usage usage;
	uint64_t answer_bytes; /* that came, taken or not */
	bool is_started, was_sent;
};

/* ---- exchange.c */
/* What the client gets instead of an answer, unless one has begun; the first one counts. */
void exchange_refuse(
    struct exchange *exchange, unsigned status, const char *code, const char *text);
void exchange_resume(struct exchange *exchange);
/* A key, then exchange_account_judge or a refusal, at once or later. */
void exchange_want_key(struct exchange *exchange);

/* ---- exchange_request.c */
/* Judges the head; refusal says what is wrong with it. Fills in agent, target, body_len and fields. */
void exchange_judge(struct exchange *exchange, const char *method);

/* ---- exchange_account.c */
/* It has a key: exchange_start, or a refusal, follows, and a resume. */
void exchange_account_judge(struct exchange *exchange);
/* It waits for no event any more. */
void exchange_account_forget(struct exchange *exchange);
/* It is over: what became of it is noted. */
void exchange_account_end(struct exchange *exchange);

/* ---- exchange_upstream.c */
void exchange_start(struct exchange *exchange); /* it has a key, and may use it */
void exchange_stop(
    struct exchange *exchange); /* nothing goes there any more; not from libcurl's callbacks */
void exchange_poke(
    struct exchange *exchange); /* there is something to send, or room for what comes: soon */

/* ---- exchange_answer.c */
struct MHD_Response *exchange_problem(const struct exchange *exchange);
struct MHD_Response *exchange_answer(struct exchange *exchange);
/* One line of an answer's head, with its end; -1: it is refused. */
int exchange_answer_line(struct exchange *exchange, const char *line, size_t len);

#endif
