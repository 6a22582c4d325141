/* What a container asks the gateway for. Whatever is taken becomes a URL of the provider that it names, under one of its paths, as any reader of URLs reads it. */
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#include "common/scoped.h"
#include "services/llm-gateway/target.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#define BASE "https://api.example/base"
#define OWN "key=the%26key"
#define FILE_TEXT \
	"{\"providers\":[{\"name\":\"a\",\"env\":[\"A\"],\"base_url\":\"" BASE "\"," \
	"\"auth\":{\"query\":\"key\"},\"paths\":[\"/v1/chat\"],\"shape\":\"openai\"}]}"

/* libcurl reads it as it was judged: this host, a path that did not become another, and one key, ours. */
static void check_url(const char *url)
{
	char *host = NULL, *path = NULL, *query = NULL;
	CURLU *parsed = curl_url();

	if (curl_url_set(parsed, CURLUPART_URL, url, 0) != CURLUE_OK ||
	    curl_url_get(parsed, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
	    curl_url_get(parsed, CURLUPART_PATH, &path, 0) != CURLUE_OK ||
	    curl_url_get(parsed, CURLUPART_QUERY, &query, 0) != CURLUE_OK)
		abort();
	if (strcmp(host, "api.example") != 0 || strncmp(path, "/base/v1/chat", 13) != 0 ||
	    (path[13] && path[13] != '/' && path[13] != ':') || strstr(path, "/../"))
		abort();
	size_t len = strlen(query), own = strlen(OWN);
	if (len < own || strcmp(query + len - own, OWN) != 0 ||
	    (len > own && query[len - own - 1] != '&') || strncmp(url, BASE, strlen(BASE)) != 0)
		abort();
	query[len - own] = '\0';
	if (strncmp(query, "key=", 4) == 0 || strstr(query, "&key=") || strstr(query, "&key&"))
		abort();
	curl_free(host);
	curl_free(path);
	curl_free(query);
	curl_url_cleanup(parsed);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static struct providers *providers;
	struct error err = {0};
	struct target target;

	if (!providers)
		providers = providers_parse(FILE_TEXT, strlen(FILE_TEXT), &err);
	scoped_free char *text = calloc(1, size + 1);
	memcpy(text, bytes, size);
	if (target_read(text, providers, &target, &err) != 0) {
		if (!err.reason[0])
			abort();
		return 0;
	}
	scoped_free char *url = target_url(&target, "the&key", 7);
	check_url(url);
	return 0;
}
