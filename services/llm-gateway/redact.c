#include "services/llm-gateway/redact.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "services/llm-gateway/redact_forms.h"

#define WINDOW 16384

struct redact {
	const struct redact_forms *forms;
	const uint8_t
	    *begun; /* what is held back: so the form begins that was seen to begin last */
	size_t held;
	uint64_t found;
	redact_out out;
	void *arg;
};

struct redact *redact_new(const struct redact_forms *forms, redact_out out, void *arg)
{
	struct redact *redact = calloc(1, sizeof(*redact));

	bug_if(!redact);
	*redact = (struct redact){.forms = forms, .out = out, .arg = arg};
	return redact;
}

void redact_destroy(struct redact **redact)
{
	free(*redact);
	*redact = NULL;
}

uint64_t redact_text(const struct redact_forms *forms, char *text, size_t len)
{
	const char *end = text + len;
	uint64_t found = 0;

	for (size_t i = 0; i < forms->len; i++) {
		const struct secret *form = forms->form[i].text;
		size_t form_len = secret_len(form);
		char *at = text;
		while ((at = memmem(at, (size_t)(end - at), secret_bytes(form), form_len))) {
			memset(at, '*', form_len);
			at += form_len;
			found++;
		}
	}
	return found;
}

static void hold_back(struct redact *redact, const uint8_t *text, size_t len)
{
	redact->held = 0;
	for (size_t i = 0; i < redact->forms->len; i++) {
		const struct redact_form *form = &redact->forms->form[i];
		size_t begun = redact_form_begun(form, text, len);
		if (begun <= redact->held)
			continue;
		redact->held = begun;
		redact->begun = secret_bytes(form->text);
	}
}

/* What was held back stands in front of it again, so that a key is whole wherever the pieces end. */
static void feed_window(struct redact *redact, const uint8_t *bytes, size_t len)
{
	uint8_t text[REDACT_FORM_LEN_MAX + WINDOW];
	size_t held = redact->held;

	if (held > 0)
		memcpy(text, redact->begun, held);
	memcpy(text + held, bytes, len);
	len += held;
	redact->found += redact_text(redact->forms, (char *)text, len);
	hold_back(redact, text, len);
	len -= redact->held;
	if (len > 0)
		redact->out(redact->arg, text, len);
	sodium_memzero(text + len, redact->held);
}

void redact_feed(struct redact *redact, const void *bytes, size_t len)
{
	const uint8_t *at = bytes;

	while (len > 0) {
		size_t n = len < WINDOW ? len : WINDOW;
		feed_window(redact, at, n);
		at += n;
		len -= n;
	}
}

void redact_end(struct redact *redact)
{
	if (redact->held > 0)
		redact->out(redact->arg, redact->begun, redact->held);
	redact->held = 0;
}

uint64_t redact_found(const struct redact *redact)
{
	return redact->found;
}
