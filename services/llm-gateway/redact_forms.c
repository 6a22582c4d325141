#include "services/llm-gateway/redact_forms.h"

#include <ctype.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* of a shorter key, other forms are so short that they are found where there is none */
#define OTHER_FORMS_FROM 8

/* ---- the forms */

static size_t put_as_it_is(uint8_t *out, const uint8_t *key, size_t len)
{
	memcpy(out, key, len);
	return len;
}

static size_t put_hex(uint8_t *out, const uint8_t *key, size_t len, const char *digits)
{
	for (size_t i = 0; i < len; i++) {
		out[2 * i] = (uint8_t)digits[key[i] >> 4];
		out[2 * i + 1] = (uint8_t)digits[key[i] & 15];
	}
	return 2 * len;
}

static size_t put_percent(uint8_t *out, const uint8_t *key, size_t len, const char *digits)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		if (isalnum(key[i]) || strchr("-._~", key[i])) {
			out[n++] = key[i];
			continue;
		}
		out[n++] = '%';
		n += put_hex(out + n, key + i, 1, digits);
	}
	return n;
}

static size_t put_json(uint8_t *out, const uint8_t *key, size_t len, const char *escaped)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		if (strchr(escaped, key[i]))
			out[n++] = '\\';
		out[n++] = key[i];
	}
	return n;
}

/* The characters that say of the key alone, whatever stands in front of it (before bytes, modulo 3) and behind. */
static size_t put_base64(
    uint8_t *out, const uint8_t *key, size_t len, unsigned before, const char *digits)
{
	size_t n = 0;

	for (size_t bit = (before * 4) % 6; bit + 6 <= len * 8; bit += 6) {
		unsigned pair = (unsigned)key[bit / 8] << 8;
		if (bit / 8 + 1 < len)
			pair |= key[bit / 8 + 1];
		out[n++] = (uint8_t)digits[pair >> (10 - bit % 8) & 63];
	}
	return n;
}

/* ---- all of them */

static int copy(void *arg, uint8_t *bytes, size_t len)
{
	memcpy(bytes, arg, len);
	return 0;
}

static void find_borders(struct redact_form *form)
{
	const uint8_t *bytes = secret_bytes(form->text);
	uint16_t at = 0;

	form->border[0] = 0;
	for (size_t i = 1; i < secret_len(form->text); i++) {
		while (at > 0 && bytes[i] != bytes[at])
			at = form->border[at - 1];
		at = (uint16_t)(at + (bytes[i] == bytes[at]));
		form->border[i] = at;
	}
}

/* One more, unless it is there already. */
static void keep(struct redact_forms *forms, uint8_t *bytes, size_t len)
{
	bug_if(len == 0);
	for (size_t i = 0; i < forms->len; i++)
		if (secret_equal(forms->form[i].text, bytes, len))
			return;
	struct redact_form *form = &forms->form[forms->len++];
	form->text = secret_make_brief(len, copy, bytes);
	form->border = calloc(len, sizeof(form->border[0]));
	bug_if(!form->border);
	find_borders(form);
}

#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

struct redact_forms *redact_forms_new(const struct secret *key)
{
	static const char lower[] = "0123456789abcdef", upper[] = "0123456789ABCDEF";
	struct redact_forms *forms = calloc(1, sizeof(*forms));
	const uint8_t *bytes = secret_bytes(key);
	size_t len = secret_len(key);
	uint8_t out[REDACT_FORM_LEN_MAX];

	bug_if(!forms || len == 0 || len > REDACT_KEY_MAX);
	keep(forms, out, put_as_it_is(out, bytes, len));
	if (len >= OTHER_FORMS_FROM) {
		for (unsigned before = 0; before < 3; before++) {
			keep(forms, out, put_base64(out, bytes, len, before, LETTERS "+/"));
			keep(forms, out, put_base64(out, bytes, len, before, LETTERS "-_"));
		}
		keep(forms, out, put_hex(out, bytes, len, lower));
		keep(forms, out, put_hex(out, bytes, len, upper));
		keep(forms, out, put_percent(out, bytes, len, upper));
		keep(forms, out, put_percent(out, bytes, len, lower));
		keep(forms, out, put_json(out, bytes, len, "\"\\"));
		keep(forms, out, put_json(out, bytes, len, "\"\\/"));
	}
	sodium_memzero(out, sizeof(out));
	return forms;
}

void redact_forms_destroy(struct redact_forms **forms)
{
	struct redact_forms *f = *forms;

	if (!f)
		return;
	*forms = NULL;
	for (size_t i = 0; i < f->len; i++) {
		struct redact_form *form = &f->form[i];
		/* where a key repeats itself says something of it */
		sodium_memzero(form->border, secret_len(form->text) * sizeof(form->border[0]));
		free(form->border);
		secret_destroy(&form->text);
	}
	free(f);
}

size_t redact_form_begun(const struct redact_form *form, const uint8_t *text, size_t len)
{
	const uint8_t *bytes = secret_bytes(form->text);
	size_t form_len = secret_len(form->text), at = 0;

	for (size_t i = len < form_len ? 0 : len - form_len + 1; i < len; i++) {
		while (at > 0 && text[i] != bytes[at])
			at = form->border[at - 1];
		at += text[i] == bytes[at];
	}
	return at;
}
