#include "services/llm-gateway/target.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALNUM "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
#define PATH_CHARS ALNUM "-._~!$&'()*+,;=:@/%"
#define QUERY_CHARS PATH_CHARS "?[]"

static int hex_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Is every %XX of it whole, and of the path none that changes what the path means? */
static bool is_well_escaped(const char *text, size_t len, bool is_path)
{
	for (size_t i = 0; i < len; i++) {
		if (text[i] != '%')
			continue;
		int high = i + 2 < len ? hex_of(text[i + 1]) : -1;
		int low = i + 2 < len ? hex_of(text[i + 2]) : -1;
		if (high < 0 || low < 0)
			return false;
		int byte = high * 16 + low;
		if (byte < 0x20 || byte == 0x7f || (is_path && strchr("/\\.%", byte)))
			return false;
	}
	return true;
}

static bool has_odd_segment(const char *path, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (path[i] != '/')
			continue;
		size_t end = i + 1;
		while (end < len && path[end] != '/')
			end++;
		const char *segment = path + i + 1;
		/* some servers take what follows a semicolon off, and "..;" is then ".." */
		const char *parameters = memchr(segment, ';', end - i - 1);
		size_t n = parameters ? (size_t)(parameters - segment) : end - i - 1;
		if ((n == 0 && end < len) || (n == 1 && segment[0] == '.') ||
		    (n == 2 && memcmp(segment, "..", 2) == 0))
			return true;
	}
	return false;
}

static bool begins(const char *path, size_t len, const char *allowed)
{
	size_t n = strlen(allowed);

	if (len < n || memcmp(path, allowed, n) != 0)
		return false;
	return len == n || allowed[n - 1] == '/' || path[n] == '/' || path[n] == ':';
}

static bool is_offered(const struct target *target)
{
	const struct provider *provider = target->provider;

	for (size_t i = 0; i < provider->npaths; i++)
		if (begins(target->path, target->path_len, provider->path[i]))
			return true;
	return false;
}

static const struct provider *find(const struct providers *providers, const char *name, size_t len)
{
	for (size_t i = 0; i < providers->len; i++) {
		const struct provider *provider = &providers->provider[i];
		if (strlen(provider->name) == len && memcmp(provider->name, name, len) == 0)
			return provider;
	}
	return NULL;
}

static int malformed(struct error *err)
{
	return error_refuse(err, ERR_INVALID, "target_malformed",
	    "not /<provider>/<path>, or with something in it that is not taken");
}

int target_read(
    const char *text, const struct providers *providers, struct target *target_r, struct error *err)
{
	size_t len = strcspn(text, "?"), name_len;

	*target_r = (struct target){.query = text[len] ? text + len + 1 : text + len};
	if (text[0] != '/' || strlen(text) > TARGET_MAX)
		return malformed(err);
	name_len = strcspn(text + 1, "/?");
	target_r->provider = find(providers, text + 1, name_len);
	target_r->path = text + 1 + name_len;
	target_r->path_len = len - 1 - name_len;
	if (strspn(text, PATH_CHARS) < len || !is_well_escaped(text, len, true) ||
	    has_odd_segment(text, len) ||
	    strspn(target_r->query, QUERY_CHARS) != strlen(target_r->query) ||
	    !is_well_escaped(target_r->query, strlen(target_r->query), false))
		return malformed(err);
	if (!target_r->provider || !target_r->provider->base_url[0])
		return error_refuse(err, ERR_NOT_FOUND, "provider_not_offered",
		    "no provider of this name is offered here");
	if (!is_offered(target_r))
		return error_refuse(err, ERR_NOT_FOUND, "path_not_offered",
		    "this path of the provider is not offered here");
	return 0;
}

static bool has_segment(const struct target *target, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i + len < target->path_len; i++) {
		const char *at = target->path + i;
		size_t end = i + 1 + len;
		if (at[0] == '/' && memcmp(at + 1, name, len) == 0 &&
		    (end == target->path_len || strchr("/:;", target->path[end])))
			return true;
	}
	return false;
}

bool target_is_for_all(const struct target *target, const char *method)
{
	/* no name hides in an escape */
	if (memchr(target->path, '%', target->path_len))
		return false;
	if (strcmp(method, "POST") == 0)
		return !has_segment(target, "batches");
	return (strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0) &&
	       has_segment(target, "models");
}

/* ---- the URL */

/* Is this parameter called so, however it is escaped? */
static bool is_called(const char *parameter, size_t len, const char *name)
{
	size_t i = 0;

	while (i < len && parameter[i] != '=' && *name) {
		char c = parameter[i];
		if (c == '%') {
			c = (char)(hex_of(parameter[i + 1]) * 16 + hex_of(parameter[i + 2]));
			i += 2;
		}
		if (c != *name)
			return false;
		i++, name++;
	}
	return !*name && (i >= len || parameter[i] == '=');
}

static void put_query(const struct target *target, FILE *out, char *separator)
{
	const char *at = target->query;

	while (*at) {
		size_t len = strcspn(at, "&");
		if (len > 0 &&
		    !(target->provider->query[0] && is_called(at, len, target->provider->query))) {
			fprintf(out, "%c%.*s", *separator, (int)len, at);
			*separator = '&';
		}
		at += len + (at[len] == '&');
	}
}

static void put_escaped(FILE *out, const char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)bytes[i];
		if (isalnum(c) || c == '-' || c == '_' || c == '.' || c == '~')
			fputc(c, out);
		else
			fprintf(out, "%%%02X", c);
	}
}

char *target_url(const struct target *target, const char *key, size_t key_len)
{
	char *url = NULL, separator = '?';
	size_t size;
	FILE *out = open_memstream(&url, &size);

	bug_if(!out);
	fprintf(out, "%s%.*s", target->provider->base_url, (int)target->path_len, target->path);
	put_query(target, out, &separator);
	if (key) {
		fprintf(out, "%c%s=", separator, target->provider->query);
		put_escaped(out, key, key_len);
	}
	bug_if(fclose(out) != 0);
	return url;
}
