/* Tokens as the providers count them are found wherever the pieces end, and nothing that a model says is taken for a count. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "common/error.h"
#include "services/llm-gateway/usage.h"

#define NONE UINT64_MAX
static const struct {
	const char *what, *text;
	bool is_events;
	uint64_t input, output; /* NONE: it does not say */
	const char *model;
} cases[] = {
    {"OpenAI's chat",
	"{\"id\":\"x\",\"object\":\"chat.completion\",\"model\":\"gpt-4o-2024-08-06\",\"choices\":["
	"{\"message\":{\"content\":\"\\\"usage\\\":{\\\"prompt_tokens\\\":9}\"}}],"
	"\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":34,\"total_tokens\":46,\"completion_"
	"tokens_details\":{\"prompt_tokens\":99}}}",
	false, 12, 34, "gpt-4o-2024-08-06"},
    {"OpenAI's stream with a last piece",
	"data: {\"model\":\"m-1\",\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"usage\":null}\n\n"
	"data: "
	"{\"model\":\"m-1\",\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":6}}"
	"\n\ndata: [DONE]\n\n",
	true, 5, 6, "m-1"},
    {"OpenAI's stream without one", "data: {\"model\":\"m\",\"choices\":[]}\n\ndata: [DONE]\n\n",
	true, NONE, NONE, "m"},
    {"OpenAI's responses",
	"event: response.created\ndata: "
	"{\"type\":\"response.created\",\"response\":{\"model\":\"gpt-5\",\"usage\":null}}\n\n"
	"event: response.completed\ndata: "
	"{\"type\":\"response.completed\",\"response\":{\"model\":\"gpt-5\",\"usage\":{\"input_"
	"tokens\":7,\"output_tokens\":8}}}\n\n",
	true, 7, 8, "gpt-5"},
    {"Anthropic's stream",
	"event: message_start\ndata: "
	"{\"type\":\"message_start\",\"message\":{\"model\":\"claude-x\",\"usage\":{\"input_"
	"tokens\":3,\"cache_creation_input_tokens\":10,"
	"\"cache_read_input_tokens\":100,\"output_tokens\":1}}}\r\n\r\n"
	"event: message_delta\ndata: "
	"{\"type\":\"message_delta\",\"delta\":{\"usage\":{\"output_tokens\":999}},\"usage\":{"
	"\"output_tokens\":42}}\r\n\r\n",
	true, 113, 42, "claude-x"},
    {"Anthropic's message, in which a tool's input is as a count is",
	"{\"content\":[{\"type\":\"tool_use\",\"input\":{\"usage\":{\"input_tokens\":1,\"output_"
	"tokens\":1},\"model\":\"cheap\"}}],\"model\":\"claude\",\"usage\":"
	"{\"input_tokens\":50,\"output_tokens\":60}}",
	false, 50, 60, "claude"},
    {"Gemini's",
	"{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"x\"}]}}],\"usageMetadata\":{"
	"\"promptTokenCount\":4,\"candidatesTokenCount\":5,"
	"\"thoughtsTokenCount\":6},\"modelVersion\":\"gemini-2.5-pro\"}",
	false, 4, 11, "gemini-2.5-pro"},
    {"Gemini's list",
	"[{\"usageMetadata\":{\"promptTokenCount\":4,\"candidatesTokenCount\":1}}\n,\r\n{"
	"\"usageMetadata\":{\"promptTokenCount\":4,\"candidatesTokenCount\":9}}]",
	false, 4, 9, ""},
    {"Groq's stream",
	"data: {\"x_groq\":{\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}}\n\n", true, 1,
	2, ""},
    {"embeddings",
	"{\"data\":[[[1,2],{}],\"}\"],\"usage\":{\"prompt_tokens\":8,\"total_tokens\":8}}", false,
	8, 0, ""},
    {"an event in lines",
	"data: {\"usage\":\ndata: {\"prompt_tokens\":1,\ndata:\"completion_tokens\":2}\ndata:}\n\n",
	true, 1, 2, ""},
    {"lines that end with CR",
	"data:{\"usage\":{\"prompt_tokens\":1}}\r\rdata:{\"usage\":{\"completion_tokens\":2}}\r\r",
	true, 1, 2, ""},
    {"an event that breaks off, and the next",
	"data: {\"usage\":{\"prompt_tokens\":1,\n\ndata: {\"usage\":{\"prompt_tokens\":2}}\n\n",
	true, 2, 0, ""},
    {"one value behind the other",
	"{\"usage\":{\"prompt_tokens\":1}}\n{\"usage\":{\"prompt_tokens\":3}}", false, 3, 0, ""},
    {"negative", "{\"usage\":{\"prompt_tokens\":-5,\"completion_tokens\":2}}", false, 0, 2, ""},
    {"all of it negative", "{\"usage\":{\"prompt_tokens\":-5}}", false, NONE, NONE, ""},
    {"not whole", "{\"usage\":{\"prompt_tokens\":1.5,\"completion_tokens\":1e9}}", false, NONE,
	NONE, ""},
    {"text", "{\"usage\":{\"prompt_tokens\":\"7\"}}", false, NONE, NONE, ""},
    {"as many as there may be", "{\"usage\":{\"prompt_tokens\":1000000000}}", false, 1000000000, 0,
	""},
    {"more", "{\"usage\":{\"prompt_tokens\":1000000001}}", false, NONE, NONE, ""},
    {"far more",
	"{\"usage\":{\"prompt_tokens\":18446744073709551617,\"completion_tokens\":"
	"99999999999999999999999999999999}}",
	false, NONE, NONE, ""},
    {"it never falls",
	"data: {\"usage\":{\"output_tokens\":9}}\n\ndata: {\"usage\":{\"output_tokens\":2}}\n\n",
	true, 0, 9, ""},
    {"deep",
	"{\"a\":[[[[[[[[[[{\"usage\":{\"prompt_tokens\":9}}]]]]]]]]]],\"usage\":{\"prompt_tokens\":"
	"1}}",
	false, 1, 0, ""},
    {"a list in a list", "[[{\"usage\":{\"prompt_tokens\":9}}]]", false, NONE, NONE, ""},
    {"counts in counts", "{\"usage\":{\"usage\":{\"prompt_tokens\":9}}}", false, NONE, NONE, ""},
    {"an escaped name", "{\"us\\u0061ge\":{\"prompt_tokens\":9}}", false, NONE, NONE, ""},
    {"no JSON", "<html>{\"usage\":{\"prompt_tokens\":9}}", false, NONE, NONE, ""},
    {"a number that is not over", "{\"usage\":{\"prompt_tokens\":9", false, NONE, NONE, ""},
    {"closed by another", "{\"usage\":{\"prompt_tokens\":9]}}", false, 9, 0, ""},
    {"names that are none", "{\"model\":\"a b\",\"usage\":{}}", false, NONE, NONE, ""},
    {"a name of a model is the first", "{\"model\":\"one\",\"response\":{\"model\":\"two\"}}",
	false, NONE, NONE, "one"},
    {"nothing", "", false, NONE, NONE, ""},
};

static void check(size_t i, const struct usage *usage, size_t at)
{
	uint64_t input, output;
	bool has = usage_tokens(usage, &input, &output);

	if (has != (cases[i].input != NONE) ||
	    (has && (input != cases[i].input || output != cases[i].output)) ||
	    strcmp(usage_model(usage), cases[i].model) != 0)
		fail_msg("%s, cut at %zu: %d %lu %lu '%s'", cases[i].what, at, has,
		    (unsigned long)input, (unsigned long)output, usage_model(usage));
}

static void finds_what_the_provider_says_wherever_it_is_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t len = strlen(cases[i].text);
		for (size_t at = 0; at <= len; at++) {
			struct usage usage = {0};
			usage_begin(&usage, cases[i].is_events);
			usage_feed(&usage, cases[i].text, at);
			usage_feed(&usage, cases[i].text + at, len - at);
			check(i, &usage, at);
		}
	}
}

static void feed(struct usage *usage, const char *text)
{
	usage_feed(usage, text, strlen(text));
}

static void a_long_name_and_a_long_line_are_nothing_to_it(void **state)
{
	struct usage usage = {0};
	char name[USAGE_MODEL_MAX + 2];
	uint64_t input, output;

	(void)state;
	memset(name, 'a', sizeof(name));
	usage_begin(&usage, true);
	feed(&usage, "data: {\"model\":\"");
	for (size_t i = 0; i < 100000; i++)
		usage_feed(&usage, name, sizeof(name));
	feed(&usage, "\",\"x\":");
	for (size_t i = 0; i < 1000000; i++)
		feed(&usage, "[");
	for (size_t i = 0; i < 1000000; i++)
		feed(&usage, "]");
	feed(&usage, ",\"usage\":{\"output_tokens\":5}}\n\n");
	assert_true(usage_tokens(&usage, &input, &output));
	assert_int_equal(output, 5);
	assert_string_equal(usage_model(&usage), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(finds_what_the_provider_says_wherever_it_is_cut),
	    cmocka_unit_test(a_long_name_and_a_long_line_are_nothing_to_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
