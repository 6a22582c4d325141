/* usage - how many tokens an answer cost, by what the provider says in it, found while it goes by. Pure: fed with the answer's bytes, cut anywhere, it keeps a few
 * hundred bytes whatever comes, changes nothing and delays nothing.
 *
 * Read is JSON (one value, several, or an array of objects) and the data of server-sent events (WHATWG HTML, section 9.2), by names that mean the same
 * everywhere: usage or usageMetadata at the top, or in message (Anthropic), response (OpenAI's responses), x_groq; model or modelVersion beside it. Nowhere
 * deeper, where a model's own words may stand as JSON (a tool's input). Counts are running totals, so of several the largest holds.
 *
 *	input: Anthropic's input_tokens, cache_creation_input_tokens and cache_read_input_tokens; prompt_tokens; promptTokenCount and toolUsePromptTokenCount
 *	output: output_tokens; completion_tokens; candidatesTokenCount and thoughtsTokenCount
 */
#ifndef LLM_GATEWAY_USAGE_H
#define LLM_GATEWAY_USAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define USAGE_TOKENS_MAX 1000000000u /* of one count; what is more is not believed */
#define USAGE_MODEL_MAX 96

enum usage_count {
	USAGE_INPUT,
	USAGE_CACHE_WRITE,
	USAGE_CACHE_READ,
	USAGE_PROMPT,
	USAGE_GEMINI_PROMPT,
	USAGE_GEMINI_TOOL,
	USAGE_OUTPUT,
	USAGE_COMPLETION,
	USAGE_GEMINI_OUTPUT,
	USAGE_GEMINI_THOUGHTS,
	USAGE_COUNTS
};

/* To be zeroed, then usage_begin. Its members are usage.c's. */
struct usage {
	bool is_events;
	uint64_t count[USAGE_COUNTS];
	bool has[USAGE_COUNTS];
	char model[USAGE_MODEL_MAX + 1];

	/* server-sent events: of the line that is read */
	uint8_t line;
	uint8_t matched;
	bool was_cr;

	/* JSON */
	uint8_t state, role[4], nroles, wanted;
	uint64_t skipped; /* so many unclosed brackets of what is of no interest */
	bool is_escaped, is_name_good;
	char name[USAGE_MODEL_MAX + 1];
	uint8_t name_len;
	uint64_t number;
	bool is_number_bad;
};

void usage_begin(struct usage *usage, bool is_events);
void usage_feed(struct usage *usage, const void *bytes, size_t len);
/* Did the provider say anything? Then how many, of each; a side that was not named is 0. */
bool usage_tokens(const struct usage *usage, uint64_t *input_r, uint64_t *output_r);
/* As the answer names it: [A-Za-z0-9._:/@+-]; "": it does not. Borrowed. */
const char *usage_model(const struct usage *usage);

#endif
