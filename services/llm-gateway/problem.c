#include "services/llm-gateway/problem.h"

#include <jansson.h>

static const struct {
	unsigned status;
	const char *type, *google;
} kinds[] = {
    {400, "invalid_request_error", "INVALID_ARGUMENT"},
    {401, "authentication_error", "UNAUTHENTICATED"},
    {403, "permission_error", "PERMISSION_DENIED"},
    {404, "not_found_error", "NOT_FOUND"},
    {405, "invalid_request_error", "INVALID_ARGUMENT"},
    {413, "request_too_large", "INVALID_ARGUMENT"},
    {429, "rate_limit_error", "RESOURCE_EXHAUSTED"},
    {502, "api_error", "UNAVAILABLE"},
    {503, "overloaded_error", "UNAVAILABLE"},
    {504, "timeout_error", "DEADLINE_EXCEEDED"},
};

static size_t kind_of(unsigned status)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (kinds[i].status == status)
			return i;
	return 7;
}

static json_t *as_openai(unsigned status, const char *code, const char *text)
{
	return json_pack("{s:{s:s, s:s, s:n, s:s}}", "error", "message", text, "type",
	    kinds[kind_of(status)].type, "param", "code", code);
}

static json_t *as_anthropic(unsigned status, const char *code, const char *text)
{
	return json_pack("{s:s, s:{s:s, s:s, s:s}}", "type", "error", "error", "type",
	    kinds[kind_of(status)].type, "message", text, "code", code);
}

static json_t *as_gemini(unsigned status, const char *code, const char *text)
{
	return json_pack("{s:{s:i, s:s, s:s, s:[{s:s, s:s, s:s}]}}", "error", "code", (int)status,
	    "message", text, "status", kinds[kind_of(status)].google, "details", "@type",
	    "type.googleapis.com/google.rpc.ErrorInfo", "reason", code, "domain", "multiclaw");
}

char *problem_text(
    const struct provider *provider, unsigned status, const char *code, const char *text)
{
	enum provider_shape shape = provider ? provider->shape : PROVIDER_OPENAI;
	json_t *body = shape == PROVIDER_ANTHROPIC ? as_anthropic(status, code, text)
		       : shape == PROVIDER_GEMINI  ? as_gemini(status, code, text)
						   : as_openai(status, code, text);
	bug_if(!body);
	char *made = json_dumps(body, JSON_COMPACT);
	bug_if(!made);
	json_decref(body);
	return made;
}
