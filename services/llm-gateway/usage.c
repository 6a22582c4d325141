#include "services/llm-gateway/usage.h"

#include <stdio.h>
#include <string.h>

#include "common/error.h"

enum role { LIST, TOP, WITHIN, COUNTS };
enum line { LINE_BEGIN, LINE_DATA, LINE_OTHER };
enum state {
	VALUE,       /* a value comes; in an array perhaps none */
	NAME,        /* a member's name, or the object's end */
	IN_NAME,     /* within it */
	COLON,       /* behind it */
	IN_STRING,   /* a value that is text */
	IN_NUMBER,   /* or a number */
	IN_WORD,     /* or true, false, null */
	BEHIND,      /* a comma, or the end of what it is in */
	SKIP,        /* brackets of no interest */
	SKIP_STRING, /* text in them */
	DEAD,        /* this is no JSON */
};
enum wanted { NOTHING, MODEL, OBJECT_WITHIN, OBJECT_COUNTS, NUMBER /* and the count's */ };

static const char *const counts[USAGE_COUNTS] = {
    [USAGE_INPUT] = "input_tokens",
    [USAGE_CACHE_WRITE] = "cache_creation_input_tokens",
    [USAGE_CACHE_READ] = "cache_read_input_tokens",
    [USAGE_PROMPT] = "prompt_tokens",
    [USAGE_GEMINI_PROMPT] = "promptTokenCount",
    [USAGE_GEMINI_TOOL] = "toolUsePromptTokenCount",
    [USAGE_OUTPUT] = "output_tokens",
    [USAGE_COMPLETION] = "completion_tokens",
    [USAGE_GEMINI_OUTPUT] = "candidatesTokenCount",
    [USAGE_GEMINI_THOUGHTS] = "thoughtsTokenCount",
};

/* ---- names */

static bool is_name(const struct usage *usage, const char *name)
{
	return strcmp(usage->name, name) == 0;
}

static uint8_t wanted_count(const struct usage *usage)
{
	for (size_t i = 0; i < USAGE_COUNTS; i++)
		if (is_name(usage, counts[i]))
			return (uint8_t)(NUMBER + i);
	return NOTHING;
}

static uint8_t wanted_by(const struct usage *usage)
{
	uint8_t role = usage->role[usage->nroles - 1];

	if (!usage->is_name_good)
		return NOTHING;
	if (role == COUNTS)
		return wanted_count(usage);
	if (is_name(usage, "usage") || is_name(usage, "usageMetadata"))
		return OBJECT_COUNTS;
	if (is_name(usage, "model") || is_name(usage, "modelVersion"))
		return MODEL;
	if (role == TOP &&
	    (is_name(usage, "message") || is_name(usage, "response") || is_name(usage, "x_groq")))
		return OBJECT_WITHIN;
	return NOTHING;
}

static void text_begin(struct usage *usage, uint8_t state)
{
	usage->state = state;
	usage->name_len = 0;
	usage->name[0] = '\0';
	usage->is_escaped = false;
	usage->is_name_good = true;
}

static void text_add(struct usage *usage, uint8_t byte)
{
	if (usage->name_len == USAGE_MODEL_MAX || byte == 0) {
		usage->is_name_good = false;
		return;
	}
	usage->name[usage->name_len++] = (char)byte;
	usage->name[usage->name_len] = '\0';
}

static void take_model(struct usage *usage)
{
	static const char chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				    "._:/@+-";

	if (!usage->model[0] && usage->is_name_good && usage->name_len > 0 &&
	    strspn(usage->name, chars) == usage->name_len)
		memcpy(usage->model, usage->name, usage->name_len + 1u);
}

/* ---- values */

static void take_number(struct usage *usage)
{
	size_t i = (size_t)usage->wanted - NUMBER;

	if (usage->wanted < NUMBER || usage->is_number_bad)
		return;
	usage->has[i] = true;
	if (usage->number > usage->count[i])
		usage->count[i] = usage->number;
}

static void add_digit(struct usage *usage, uint8_t byte)
{
	if (byte < '0' || byte > '9')
		usage->is_number_bad = true;
	else if (usage->number <= USAGE_TOKENS_MAX)
		usage->number = usage->number * 10 + (uint64_t)(byte - '0');
	if (usage->number > USAGE_TOKENS_MAX)
		usage->is_number_bad = true;
}

static void open_bracket(struct usage *usage, uint8_t byte)
{
	int role = -1;

	if (usage->nroles == 0)
		role = byte == '{' ? TOP : LIST;
	else if (usage->role[usage->nroles - 1] == LIST && byte == '{')
		role = TOP;
	else if (byte == '{' && usage->wanted == OBJECT_WITHIN)
		role = WITHIN;
	else if (byte == '{' && usage->wanted == OBJECT_COUNTS)
		role = COUNTS;
	if (role < 0) {
		usage->state = SKIP;
		usage->skipped = 1;
		return;
	}
	/* LIST, TOP, WITHIN, COUNTS is the deepest there is */
	bug_if(usage->nroles == sizeof(usage->role));
	usage->role[usage->nroles++] = (uint8_t)role;
	usage->wanted = NOTHING;
	usage->state = byte == '{' ? NAME : VALUE;
}

static void close_bracket(struct usage *usage, uint8_t byte)
{
	bool is_list = usage->nroles > 0 && usage->role[usage->nroles - 1] == LIST;

	if (usage->nroles == 0 || is_list != (byte == ']')) {
		usage->state = DEAD;
		return;
	}
	usage->nroles--;
	usage->state = usage->nroles > 0 ? BEHIND : VALUE;
}

static void begin_value(struct usage *usage, uint8_t byte)
{
	usage->number = 0;
	usage->is_number_bad = false;
	if (byte == '{' || byte == '[')
		open_bracket(usage, byte);
	else if (byte == ']')
		close_bracket(usage, byte);
	else if (usage->nroles == 0)
		usage->state = DEAD; /* an answer is an object, or a list of them */
	else if (byte == '"')
		text_begin(usage, IN_STRING);
	else if (byte == '-' || (byte >= '0' && byte <= '9'))
		usage->state = IN_NUMBER, add_digit(usage, byte);
	else if (byte >= 'a' && byte <= 'z')
		usage->state = IN_WORD;
	else
		usage->state = DEAD;
}

static void behind(struct usage *usage, uint8_t byte)
{
	if (byte == '}' || byte == ']')
		close_bracket(usage, byte);
	else if (byte == ',')
		usage->state = usage->role[usage->nroles - 1] == LIST ? VALUE : NAME;
	else
		usage->state = DEAD;
	usage->wanted = NOTHING;
}

static bool is_space(uint8_t byte)
{
	return byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t';
}

/* ---- one byte */

static void in_text(struct usage *usage, uint8_t byte)
{
	if (usage->is_escaped) {
		usage->is_escaped = false;
	} else if (byte == '\\') {
		/* a name that matters needs none */
		usage->is_escaped = true;
		usage->is_name_good = false;
	} else if (byte != '"') {
		text_add(usage, byte);
	} else if (usage->state == IN_NAME) {
		usage->wanted = wanted_by(usage);
		usage->state = COLON;
	} else {
		if (usage->wanted == MODEL)
			take_model(usage);
		usage->state = BEHIND;
	}
}

static void skip(struct usage *usage, uint8_t byte)
{
	if (byte == '"') {
		usage->state = SKIP_STRING;
		usage->is_escaped = false;
	} else if (byte == '{' || byte == '[') {
		usage->skipped++;
	} else if ((byte == '}' || byte == ']') && --usage->skipped == 0) {
		usage->state = BEHIND;
	}
}

static void skip_string(struct usage *usage, uint8_t byte)
{
	if (usage->is_escaped)
		usage->is_escaped = false;
	else if (byte == '\\')
		usage->is_escaped = true;
	else if (byte == '"')
		usage->state = SKIP;
}

static bool is_in_plain(uint8_t byte)
{
	return byte == '+' || byte == '-' || byte == '.' || (byte >= '0' && byte <= '9') ||
	       (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
}

static void in_plain(struct usage *usage, uint8_t byte)
{
	if (is_in_plain(byte)) {
		if (usage->state == IN_NUMBER)
			add_digit(usage, byte);
		return;
	}
	if (usage->state == IN_NUMBER)
		take_number(usage);
	usage->state = BEHIND;
	if (!is_space(byte))
		behind(usage, byte);
}

static void between(struct usage *usage, uint8_t byte)
{
	if (is_space(byte))
		return;
	if (usage->state == VALUE)
		begin_value(usage, byte);
	else if (usage->state == BEHIND)
		behind(usage, byte);
	else if (usage->state == COLON)
		usage->state = byte == ':' ? VALUE : DEAD;
	else if (byte == '"')
		text_begin(usage, IN_NAME);
	else if (byte == '}')
		close_bracket(usage, byte);
	else
		usage->state = DEAD;
}

static void json(struct usage *usage, uint8_t byte)
{
	switch (usage->state) {
	case IN_NAME:
	case IN_STRING:
		in_text(usage, byte);
		break;
	case IN_NUMBER:
	case IN_WORD:
		in_plain(usage, byte);
		break;
	case SKIP:
		skip(usage, byte);
		break;
	case SKIP_STRING:
		skip_string(usage, byte);
		break;
	case DEAD:
		break;
	default:
		between(usage, byte);
	}
}

static void json_begin(struct usage *usage)
{
	usage->state = VALUE;
	usage->nroles = 0;
	usage->wanted = NOTHING;
}

/* ---- server-sent events: the lines of data of one event are one value; an empty line ends it */

static void line_end(struct usage *usage)
{
	if (usage->line == LINE_BEGIN && usage->matched == 0)
		json_begin(usage);
	else if (usage->line == LINE_DATA)
		json(usage, '\n');
	usage->line = LINE_BEGIN;
	usage->matched = 0;
}

static void line_begin(struct usage *usage, uint8_t byte)
{
	static const char data[] = "data:";

	if (byte != (uint8_t)data[usage->matched])
		usage->line = LINE_OTHER;
	else if (++usage->matched == sizeof(data) - 1)
		usage->line = LINE_DATA;
}

static void event(struct usage *usage, uint8_t byte)
{
	bool is_second = usage->was_cr && byte == '\n';

	usage->was_cr = byte == '\r';
	if (is_second)
		return;
	if (byte == '\n' || byte == '\r')
		line_end(usage);
	else if (usage->line == LINE_DATA)
		json(usage, byte);
	else if (usage->line == LINE_BEGIN)
		line_begin(usage, byte);
}

/* ---- */

void usage_begin(struct usage *usage, bool is_events)
{
	usage->is_events = is_events;
	json_begin(usage);
}

void usage_feed(struct usage *usage, const void *bytes, size_t len)
{
	const uint8_t *byte = bytes;

	for (size_t i = 0; i < len; i++) {
		if (usage->is_events)
			event(usage, byte[i]);
		else if (usage->state == DEAD)
			return;
		else
			json(usage, byte[i]);
	}
}

bool usage_tokens(const struct usage *usage, uint64_t *input_r, uint64_t *output_r)
{
	const uint64_t *n = usage->count;
	const uint64_t input[] = {n[USAGE_INPUT] + n[USAGE_CACHE_WRITE] + n[USAGE_CACHE_READ],
	    n[USAGE_PROMPT], n[USAGE_GEMINI_PROMPT] + n[USAGE_GEMINI_TOOL]};
	const uint64_t output[] = {n[USAGE_OUTPUT], n[USAGE_COMPLETION],
	    n[USAGE_GEMINI_OUTPUT] + n[USAGE_GEMINI_THOUGHTS]};
	bool has = false;

	*input_r = *output_r = 0;
	for (size_t i = 0; i < ARRAY_LEN(input); i++) {
		*input_r = input[i] > *input_r ? input[i] : *input_r;
		*output_r = output[i] > *output_r ? output[i] : *output_r;
	}
	for (size_t i = 0; i < USAGE_COUNTS; i++)
		has |= usage->has[i];
	return has;
}

const char *usage_model(const struct usage *usage)
{
	return usage->model;
}
