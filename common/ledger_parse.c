#include "common/ledger_parse.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

/* Whole decimal numbers as Redis and the script print them: no sign, no space, no leading zero
 * unless padded to a slot. */
static bool digits_parse(const char *text, size_t len, uint64_t *n_r)
{
	uint64_t n = 0;

	if (len == 0 || len > LEDGER_SLOT_DIGITS)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!isdigit((unsigned char)text[i]))
			return false;
		if (__builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(text[i] - '0'), &n))
			return false;
	}
	*n_r = n;
	return true;
}

static bool number_parse(const char *text, size_t len, uint64_t *n_r)
{
	return !(len > 1 && text[0] == '0') && digits_parse(text, len, n_r);
}

int event_id_parse(const char *text, struct event_id *id_r)
{
	const char *dash = strchr(text, '-');
	struct event_id id;

	if (!dash || !number_parse(text, (size_t)(dash - text), &id.ms) ||
	    !number_parse(dash + 1, strlen(dash + 1), &id.seq))
		return -1;
	*id_r = id;
	return 0;
}

char *event_id_text(struct event_id id, char buf[EVENT_ID_MAX + 1])
{
	snprintf(buf, EVENT_ID_MAX + 1, "%" PRIu64 "-%" PRIu64, id.ms, id.seq);
	return buf;
}

/* Reads the fields of an array in order; a field that is not what it must be spoils the whole,
 * found out once at the end. */
struct answer {
	const redisReply *reply;
	size_t next;
	bool bad;
};

static struct answer answer_of(const redisReply *reply)
{
	return (struct answer){.reply = reply, .bad = reply->type != REDIS_REPLY_ARRAY};
}

static int answer_end(const struct answer *answer)
{
	return answer->bad || answer->next != answer->reply->elements ? -1 : 0;
}

static const redisReply *take(struct answer *answer, int type)
{
	if (answer->bad || answer->next >= answer->reply->elements) {
		answer->bad = true;
		return NULL;
	}
	const redisReply *field = answer->reply->element[answer->next++];
	if (field->type == type)
		return field;
	answer->bad = true;
	return NULL;
}

static void take_text(struct answer *answer, char *buf, size_t size)
{
	const redisReply *field = take(answer, REDIS_REPLY_STRING);

	if (field && field->len < size && !memchr(field->str, '\0', field->len)) {
		memcpy(buf, field->str, field->len);
		buf[field->len] = '\0';
	} else {
		buf[0] = '\0';
		answer->bad = true;
	}
}

static void take_word(struct answer *answer, char *buf, size_t size, const char *also)
{
	take_text(answer, buf, size);
	for (const char *p = buf; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr(also, *p))
			answer->bad = true;
}

static void take_history(struct answer *answer, char buf[HISTORY_MAX + 1])
{
	take_word(answer, buf, HISTORY_MAX + 1, "-");
	if (!buf[0])
		answer->bad = true;
}

/* A key's text, or the one other word (if any) that may stand in its place. */
static void take_key(struct answer *answer, char buf[PUBKEY_TEXT_MAX + 1], const char *instead)
{
	uint8_t key[PUBKEY_LEN];

	take_text(answer, buf, PUBKEY_TEXT_MAX + 1);
	if (!(instead && strcmp(buf, instead) == 0) && pubkey_parse(buf, key) != 0)
		answer->bad = true;
}

static uint64_t take_number(struct answer *answer)
{
	const redisReply *field = take(answer, REDIS_REPLY_STRING);
	uint64_t n = 0;

	if (!field || !number_parse(field->str, field->len, &n))
		answer->bad = true;
	return n;
}

static uint64_t take_slot(struct answer *answer)
{
	const redisReply *field = take(answer, REDIS_REPLY_STRING);
	uint64_t slot = 0;

	if (!field || field->len != LEDGER_SLOT_DIGITS ||
	    !digits_parse(field->str, field->len, &slot))
		answer->bad = true;
	return slot;
}

static struct event_id take_id(struct answer *answer)
{
	char text[EVENT_ID_MAX + 1];
	struct event_id id = {0, 0};

	take_text(answer, text, sizeof(text));
	if (event_id_parse(text, &id) < 0)
		answer->bad = true;
	return id;
}

/* Is the next field the empty text? Then it is passed over. */
static bool skip_empty(struct answer *answer)
{
	if (answer->bad || answer->next >= answer->reply->elements)
		return false;
	const redisReply *field = answer->reply->element[answer->next];
	bool empty = field->type == REDIS_REPLY_STRING && field->len == 0;
	answer->next += empty;
	return empty;
}

static bool take_event(struct answer *answer, struct event_id *id_r)
{
	if (skip_empty(answer))
		return false;
	*id_r = take_id(answer);
	return true;
}

static enum ledger_verdict take_verdict(struct answer *answer)
{
	static const char *const names[] = {
#define LEDGER_VERDICT_NAME(name, text) [LEDGER_##name] = (text),
	    LEDGER_VERDICTS(LEDGER_VERDICT_NAME)
#undef LEDGER_VERDICT_NAME
	};
	char word[16];

	take_text(answer, word, sizeof(word));
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(word, names[i]) == 0)
			return (enum ledger_verdict)i;
	answer->bad = true;
	return LEDGER_ENDED;
}

static void take_chain(struct answer *answer, struct ledger_chain *chain)
{
	if (skip_empty(answer)) {
		if (!skip_empty(answer) || !skip_empty(answer))
			answer->bad = true;
		return;
	}
	chain->known = true;
	chain->slot = take_slot(answer);
	chain->at_ms = take_number(answer);
	take_word(answer, chain->genesis, sizeof(chain->genesis), "");
}

static void parse_event(const redisReply *reply, struct ledger_event *event, bool *bad)
{
	struct answer answer = answer_of(reply);

	event->id = take_id(&answer);
	take_history(&answer, event->history);
	take_key(&answer, event->asset, "*");
	take_word(&answer, event->kind, sizeof(event->kind), "_");
	if (answer_end(&answer) < 0)
		*bad = true;
}

/* events has room for the list that is the answer's last field (ledger_parse_nevents), no other. */
static void take_events(
    struct answer *answer, struct ledger_follow *out, struct ledger_event *events)
{
	const redisReply *list = take(answer, REDIS_REPLY_ARRAY);
	struct event_id last = {0, 0};

	if (!list)
		return;
	bool is_last = answer->next == answer->reply->elements;
	if (!is_last || list->elements > LEDGER_EVENTS_MAX ||
	    (out->restart && list->elements > 0)) {
		answer->bad = true;
		return;
	}
	for (size_t i = 0; i < list->elements; i++) {
		parse_event(list->element[i], &events[i], &answer->bad);
		if (event_id_compare(events[i].id, last) <= 0)
			answer->bad = true;
		last = events[i].id;
	}
	if (event_id_compare(last, out->head) > 0)
		answer->bad = true;
	out->events = events;
	out->nevents = list->elements;
}

size_t ledger_parse_nevents(const redisReply *reply)
{
	if (reply->type != REDIS_REPLY_ARRAY || reply->elements == 0)
		return 0;
	const redisReply *list = reply->element[reply->elements - 1];
	if (list->type != REDIS_REPLY_ARRAY)
		return 0;
	return list->elements < LEDGER_EVENTS_MAX ? list->elements : LEDGER_EVENTS_MAX;
}

int ledger_parse_follow(
    const redisReply *reply, struct ledger_follow *out, struct ledger_event *events)
{
	struct answer answer = answer_of(reply);
	char restart[2];

	take_history(&answer, out->history);
	out->settling_ms = take_number(&answer);
	out->now_ms = take_number(&answer);
	take_text(&answer, restart, sizeof(restart));
	out->restart = restart[0] == '1';
	if (!out->restart && restart[0] != '0')
		answer.bad = true;
	out->head = take_id(&answer);
	if (!skip_empty(&answer))
		take_history(&answer, out->head_history);
	take_chain(&answer, &out->chain);
	take_events(&answer, out, events);
	return answer_end(&answer);
}

int ledger_parse_look(const redisReply *reply, struct ledger_look *out)
{
	struct answer answer = answer_of(reply);

	take_history(&answer, out->history);
	out->position = take_id(&answer);
	out->verdict = take_verdict(&answer);
	if (out->verdict == LEDGER_ENDED && skip_empty(&answer)) {
		for (int i = 0; i < 6; i++)
			if (!skip_empty(&answer))
				answer.bad = true;
		return answer_end(&answer);
	}
	take_key(&answer, out->asset, NULL);
	take_key(&answer, out->wallet, NULL);
	out->slot = take_slot(&answer);
	out->iat_ms = take_number(&answer);
	out->exp_ms = take_number(&answer);
	take_text(&answer, out->aud, sizeof(out->aud));
	take_text(&answer, out->name, sizeof(out->name));
	return answer_end(&answer);
}

int ledger_parse_record(const redisReply *reply, struct ledger_record *out)
{
	struct answer answer = answer_of(reply);

	take_history(&answer, out->history);
	out->changed = take_event(&answer, &out->event);
	if (!skip_empty(&answer))
		take_key(&answer, out->owner, LEDGER_NOBODY);
	out->seen_slot = take_slot(&answer);
	out->other_slot = take_slot(&answer);
	return answer_end(&answer);
}

int ledger_parse_owner(const redisReply *reply, struct ledger_owner *out)
{
	struct answer answer = answer_of(reply);

	take_history(&answer, out->history);
	out->position = take_id(&answer);
	if (!skip_empty(&answer))
		take_key(&answer, out->owner, LEDGER_NOBODY);
	out->seen_slot = take_slot(&answer);
	out->other_slot = take_slot(&answer);
	if (!out->owner[0] && (out->seen_slot > 0 || out->other_slot > 0))
		answer.bad = true;
	take_word(&answer, out->epoch, sizeof(out->epoch), "");
	if (out->epoch[0] && strlen(out->epoch) != LEDGER_EPOCH_MAX)
		answer.bad = true;
	take_word(&answer, out->place, sizeof(out->place), "-_.");
	return answer_end(&answer);
}

int ledger_parse_minted(const redisReply *reply, struct ledger_ended *out)
{
	struct answer answer = answer_of(reply);

	take_history(&answer, out->history);
	out->verdict = take_verdict(&answer);
	out->changed = take_event(&answer, &out->event);
	return answer_end(&answer);
}

int ledger_parse_ended(const redisReply *reply, struct ledger_ended *out)
{
	struct answer answer = answer_of(reply);

	take_history(&answer, out->history);
	out->verdict = LEDGER_GOOD;
	out->changed = take_event(&answer, &out->event);
	return answer_end(&answer);
}

int ledger_parse_wait(const redisReply *reply, struct ledger_wait *out)
{
	struct answer answer = answer_of(reply);

	take_history(&answer, out->history);
	out->wait_ms = take_number(&answer);
	return answer_end(&answer);
}

int ledger_parse_taken(const redisReply *reply, struct ledger_taken *out)
{
	struct answer answer = answer_of(reply);

	take_history(&answer, out->history);
	if (!skip_empty(&answer))
		take_history(&answer, out->stored_history);
	const redisReply *value = take(&answer, REDIS_REPLY_STRING);
	if (value) {
		out->value = value->str;
		out->len = value->len;
	}
	return answer_end(&answer);
}

int ledger_parse_word(const redisReply *reply, char word[LEDGER_WORD_MAX + 1])
{
	struct answer answer = answer_of(reply);
	char history[HISTORY_MAX + 1];

	take_history(&answer, history);
	take_word(&answer, word, LEDGER_WORD_MAX + 1, "_");
	return answer_end(&answer);
}

int ledger_parse_host(const redisReply *reply, char host[LEDGER_HOST_MAX + 1])
{
	struct answer answer = answer_of(reply);
	char history[HISTORY_MAX + 1];

	take_history(&answer, history);
	take_word(&answer, host, LEDGER_HOST_MAX + 1, "-_.");
	return answer_end(&answer);
}

static void parse_session(const redisReply *reply, struct ledger_session *session, bool *bad)
{
	struct answer answer = answer_of(reply);

	take_word(&answer, session->jti, sizeof(session->jti), "");
	session->iat_ms = take_number(&answer);
	session->exp_ms = take_number(&answer);
	session->seen_ms = take_number(&answer);
	take_text(&answer, session->ip, sizeof(session->ip));
	take_text(&answer, session->agent, sizeof(session->agent));
	if (answer_end(&answer) < 0)
		*bad = true;
}

int ledger_parse_list(
    const redisReply *reply, struct ledger_list *out, struct ledger_session *sessions)
{
	struct answer answer = answer_of(reply);

	take_history(&answer, out->history);
	const redisReply *list = take(&answer, REDIS_REPLY_ARRAY);
	if (!list || list->elements > LEDGER_SESSIONS_MAX)
		return -1;
	for (size_t i = 0; i < list->elements; i++)
		parse_session(list->element[i], &sessions[i], &answer.bad);
	out->session = sessions;
	out->len = list->elements;
	return answer_end(&answer);
}

static enum ledger_enforcing take_progress(struct answer *answer)
{
	static const char *const names[] = {
#define LEDGER_PROGRESS_NAME(name, text) [LEDGER_##name] = (text),
	    LEDGER_PROGRESS(LEDGER_PROGRESS_NAME)
#undef LEDGER_PROGRESS_NAME
	};
	char word[16];

	take_text(answer, word, sizeof(word));
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(word, names[i]) == 0)
			return (enum ledger_enforcing)i;
	answer->bad = true;
	return LEDGER_OPEN;
}

static void parse_replica(const redisReply *reply, struct ledger_replica *replica, bool *bad)
{
	struct answer answer = answer_of(reply);

	take_word(&answer, replica->name, sizeof(replica->name), "-_.");
	take_word(&answer, replica->role, sizeof(replica->role), "-");
	replica->state = take_progress(&answer);
	replica->silent_ms = take_number(&answer);
	replica->ms = take_number(&answer);
	if (answer_end(&answer) < 0)
		*bad = true;
}

int ledger_parse_enforced(
    const redisReply *reply, struct ledger_enforced *out, struct ledger_replica *replicas)
{
	struct answer answer = answer_of(reply);
	char known[2];

	take_history(&answer, out->history);
	out->settling_ms = take_number(&answer);
	take_text(&answer, known, sizeof(known));
	out->known = known[0] == '1';
	if (!out->known && known[0] != '0')
		answer.bad = true;
	if (!skip_empty(&answer))
		out->slot = take_slot(&answer);
	const redisReply *list = take(&answer, REDIS_REPLY_ARRAY);
	if (!list || list->elements > LEDGER_REPLICAS_MAX)
		return -1;
	for (size_t i = 0; i < list->elements; i++)
		parse_replica(list->element[i], &replicas[i], &answer.bad);
	out->replica = replicas;
	out->len = list->elements;
	out->waited_for = take_number(&answer);
	return answer_end(&answer);
}

int ledger_parse_owned(const redisReply *reply, struct ledger_owned *out)
{
	struct answer answer = answer_of(reply);

	take_history(&answer, out->history);
	out->cursor = take_number(&answer);
	const redisReply *list = take(&answer, REDIS_REPLY_ARRAY);
	if (!list || list->elements > LEDGER_OWNED_MAX)
		return -1;
	struct answer assets = answer_of(list);
	for (size_t i = 0; i < list->elements; i++)
		take_key(&assets, out->asset[i], NULL);
	out->len = list->elements;
	return answer_end(&assets) < 0 ? -1 : answer_end(&answer);
}
