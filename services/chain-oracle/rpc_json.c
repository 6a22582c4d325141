#include "services/chain-oracle/rpc_json.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/base58.h"
#include "common/scoped.h"

#define DIGITS_MAX 18 /* always fit jansson's signed 64 bits */

/* Length of the string literal at text, quotes included; up to the end if it is not closed. */
static size_t string_len(const char *text, size_t len)
{
	size_t i = 1;
	while (i < len && text[i] != '"')
		i += text[i] == '\\' && i + 1 < len ? 2 : 1;
	return i < len ? i + 1 : len;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Characters at text that belong to a number literal. */
static size_t number_len(const char *text, size_t len)
{
	size_t i = 0;
	while (i < len && (is_digit(text[i]) || text[i] == '-' || text[i] == '+' ||
			      text[i] == '.' || text[i] == 'e' || text[i] == 'E'))
		i++;
	return i;
}

static bool is_long_integer(const char *text, size_t len)
{
	size_t first = text[0] == '-';
	for (size_t i = first; i < len; i++)
		if (!is_digit(text[i]))
			return false;
	return len - first > DIGITS_MAX && text[first] != '0';
}

/* The text with long integers in quotes. What is not JSON stays so, but for such an integer as a name. */
static char *quote_long_integers(const char *text, size_t len, size_t *len_r)
{
	/* a quoted integer has at least 19 characters and gains 2 */
	char *out = malloc(len + len / DIGITS_MAX * 2 + 3);
	bug_if(!out);
	size_t n = 0;
	for (size_t i = 0; i < len;) {
		size_t take =
		    text[i] == '"' ? string_len(text + i, len - i) : number_len(text + i, len - i);
		bool quote = text[i] != '"' && take > 0 && is_long_integer(text + i, take);
		if (take == 0)
			take = 1;
		if (quote)
			out[n++] = '"';
		memcpy(out + n, text + i, take);
		n += take;
		i += take;
		if (quote)
			out[n++] = '"';
	}
	*len_r = n;
	return out;
}

json_t *rpc_json_parse(const char *text, size_t len, struct error *err)
{
	size_t quoted_len;
	scoped_free char *quoted = quote_long_integers(text, len, &quoted_len);
	json_error_t why;
	json_t *value =
	    json_loadb(quoted, quoted_len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
	if (!value)
		error_set(err, ERR_INVALID, "not JSON: %s", why.text);
	return value;
}

static int digits_u64(const char *text, uint64_t *n_r)
{
	uint64_t n = 0;
	if (strlen(text) <= DIGITS_MAX)
		return -1; /* was a string in the first place */
	for (; *text; text++) {
		if (!is_digit(*text) || __builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(*text - '0'), &n))
			return -1;
	}
	*n_r = n;
	return 0;
}

int rpc_json_u64(const json_t *value, uint64_t *n_r)
{
	if (json_is_string(value))
		return digits_u64(json_string_value(value), n_r);
	if (!json_is_integer(value) || json_integer_value(value) < 0)
		return -1;
	*n_r = (uint64_t)json_integer_value(value);
	return 0;
}

json_t *rpc_json_at(const json_t *value, ...)
{
	va_list path;
	va_start(path, value);
	const char *name;
	json_t *at = (json_t *)(uintptr_t)value;
	while (at && (name = va_arg(path, const char *)))
		at = json_object_get(at, name);
	va_end(path);
	return at;
}

int rpc_json_pubkey(const json_t *value, uint8_t key_r[32])
{
	const char *text = json_string_value(value);
	return text ? pubkey_parse(text, key_r) : -1;
}
