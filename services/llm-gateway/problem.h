/* problem - an error as the provider's own clients read it: OpenAI's, Anthropic's or Gemini's shape, with a stable code in it. */
#ifndef LLM_GATEWAY_PROBLEM_H
#define LLM_GATEWAY_PROBLEM_H

#include "common/providers.h"

/* JSON text; caller frees. provider NULL: OpenAI's shape. */
char *problem_text(
    const struct provider *provider, unsigned status, const char *code, const char *text);

#endif
