#include "services/auth/siws.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct field {
	const char *name, *value;
};

struct text {
	char *at;
	size_t left;
	bool is_full;
};

static void add(struct text *text, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void add(struct text *text, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	int len = vsnprintf(text->at, text->left, fmt, args);
	va_end(args);
	if (len < 0 || (size_t)len >= text->left) {
		text->is_full = true;
		return;
	}
	text->at += len;
	text->left -= (size_t)len;
}

static bool is_given(const char *value)
{
	return value && *value;
}

static bool is_printable(const char *value)
{
	for (; *value; value++) {
		if (*value < 0x20 || *value > 0x7e)
			return false;
	}
	return true;
}

static bool begins_with_a_field(const char *statement, const struct field *fields, size_t nfields)
{
	for (size_t i = 0; i < nfields; i++) {
		size_t len = strlen(fields[i].name);
		if (strncmp(statement, fields[i].name, len) == 0 && statement[len] == ':')
			return true;
	}
	return strncmp(statement, "Resources:", 10) == 0;
}

static bool is_nonce(const char *nonce)
{
	size_t len =
	    strspn(nonce, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
	return len >= 8 && nonce[len] == '\0';
}

static int check(
    const struct siws *siws, const struct field *fields, size_t nfields, struct error *err)
{
	if (!is_given(siws->domain) || !is_given(siws->address))
		return error_set(err, ERR_INVALID, "a sign-in text needs domain and address");
	if (!is_printable(siws->domain) || !is_printable(siws->address))
		return error_set(err, ERR_INVALID, "domain or address is not printable ASCII");
	if (is_given(siws->statement) && (!is_printable(siws->statement) ||
					     begins_with_a_field(siws->statement, fields, nfields)))
		return error_set(
		    err, ERR_INVALID, "the statement is not one line, or reads as a field");
	if (is_given(siws->nonce) && !is_nonce(siws->nonce))
		return error_set(err, ERR_INVALID, "the nonce is not 8 or more letters and digits");
	for (size_t i = 0; i < nfields; i++) {
		if (is_given(fields[i].value) && !is_printable(fields[i].value))
			return error_set(
			    err, ERR_INVALID, "%s is not printable ASCII", fields[i].name);
	}
	for (size_t i = 0; siws->resources && siws->resources[i]; i++) {
		if (!is_printable(siws->resources[i]))
			return error_set(err, ERR_INVALID, "a resource is not printable ASCII");
	}
	return 0;
}

/* Fields are set off from what is above them by one empty line, from each other by none. */
static void add_fields(
    struct text *text, const struct siws *siws, const struct field *fields, size_t nfields)
{
	const char *between = "\n\n";
	for (size_t i = 0; i < nfields; i++) {
		if (!is_given(fields[i].value))
			continue;
		add(text, "%s%s: %s", between, fields[i].name, fields[i].value);
		between = "\n";
	}
	if (siws->resources)
		add(text, "%sResources:", between);
	for (size_t i = 0; siws->resources && siws->resources[i]; i++)
		add(text, "\n- %s", siws->resources[i]);
}

int siws_compose(const struct siws *siws, char buf[SIWS_TEXT_MAX + 1], struct error *err)
{
	const struct field fields[] = {
	    {"URI", siws->uri},
	    {"Version", siws->version},
	    {"Chain ID", siws->chain_id},
	    {"Nonce", siws->nonce},
	    {"Issued At", siws->issued_at},
	    {"Expiration Time", siws->expires_at},
	    {"Not Before", siws->not_before},
	    {"Request ID", siws->request_id},
	};
	if (check(siws, fields, ARRAY_LEN(fields), err) != 0)
		return -1;
	struct text text = {.at = buf, .left = SIWS_TEXT_MAX + 1};
	add(&text, "%s wants you to sign in with your Solana account:\n%s", siws->domain,
	    siws->address);
	if (is_given(siws->statement))
		add(&text, "\n\n%s", siws->statement);
	add_fields(&text, siws, fields, ARRAY_LEN(fields));
	if (text.is_full)
		return error_set(
		    err, ERR_INVALID, "the sign-in text is longer than %d bytes", SIWS_TEXT_MAX);
	return 0;
}

const char *siws_chain_id(const char *genesis)
{
	static const struct {
		const char *genesis, *chain_id;
	} known[] = {
	    {"5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d", "mainnet"},
	    {"EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG", "devnet"},
	    {"4uhcVJyU9pJkvQyS88uRDiswHXSCkY3zQawwpjk2NsNY", "testnet"},
	};
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (strcmp(genesis, known[i].genesis) == 0)
			return known[i].chain_id;
	}
	return "localnet";
}
