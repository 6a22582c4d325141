/* redact_forms - a key in each form that it is looked for. For redact alone. */
#ifndef LLM_GATEWAY_REDACT_FORMS_H
#define LLM_GATEWAY_REDACT_FORMS_H

#include "services/llm-gateway/redact.h"

#define REDACT_FORMS_MAX 13
#define REDACT_FORM_LEN_MAX ((size_t)REDACT_KEY_MAX * 3)

struct redact_form {
	struct secret *text;
	uint16_t *
	    border; /* of each prefix: its longest that is also its end (Knuth, Morris, Pratt 1977) */
};

struct redact_forms {
	size_t len;
	struct redact_form form[REDACT_FORMS_MAX];
};

/* How many bytes at the end of text may be the beginning of the form; text holds no whole one. */
size_t redact_form_begun(const struct redact_form *form, const uint8_t *text, size_t len);

#endif
