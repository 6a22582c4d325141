#include "tests/devchain/control_client.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

#include "common/error.h"
#include "common/scoped.h"
#include "tests/devchain/control.h"

#define DEFAULT_URL "http://127.0.0.1:8899"

static void dashes_to_underscores(char *text)
{
	for (; (text = strchr(text, '-'));)
		*text = '_';
}

static json_t *build_request(int argc, char **argv, const char **url_r)
{
	json_t *params = json_object();

	for (int i = 1; i < argc; i += 2) {
		if (strncmp(argv[i], "--", 2) != 0 || i + 1 == argc) {
			fprintf(stderr, "%s: options are --name value\n", argv[i]);
			json_decref(params);
			return NULL;
		}
		if (strcmp(argv[i], "--url") == 0) {
			*url_r = argv[i + 1];
			continue;
		}
		dashes_to_underscores(argv[i] + 2);
		json_object_set_new(params, argv[i] + 2, json_string(argv[i + 1]));
	}
	return json_pack("{s:s, s:i, s:o, s:o}", "jsonrpc", "2.0", "id", 1, "method",
	    json_sprintf(CONTROL_PREFIX "%s", argv[0]), "params", params);
}

static size_t collect(char *bytes, size_t size, size_t n, void *file)
{
	return fwrite(bytes, size, n, file);
}

static int post(const char *url, const char *body, FILE *out)
{
	CURL *curl = curl_easy_init();
	struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
	char why[CURL_ERROR_SIZE] = "";
	CURLcode code;

	bug_if(!curl || !headers);
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, collect);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, out);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT, 60L);
	curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, why);
	code = curl_easy_perform(curl);
	curl_slist_free_all(headers);
	curl_easy_cleanup(curl);
	if (code != CURLE_OK)
		fprintf(stderr, "%s: %s\n", url, why[0] ? why : curl_easy_strerror(code));
	return code == CURLE_OK ? 0 : -1;
}

static int print_reply(const char *text)
{
	scoped_json json_t *reply = json_loads(text, 0, NULL);
	const json_t *result = json_object_get(reply, "result");
	const char *message =
	    json_string_value(json_object_get(json_object_get(reply, "error"), "message"));

	if (!result) {
		fprintf(stderr, "%s\n", message ? message : "this is no development chain");
		return 1;
	}
	json_dumpf(result, stdout, JSON_INDENT(2));
	putchar('\n');
	return 0;
}

int control_client(int argc, char **argv)
{
	const char *url = getenv("SOLANA_RPC_URL");
	scoped_free char *body = NULL, *text = NULL;
	scoped_json json_t *request = NULL;
	scoped_file FILE *out = NULL;
	size_t len;

	dashes_to_underscores(argv[0]);
	if (!url || !*url)
		url = DEFAULT_URL;
	request = build_request(argc, argv, &url);
	if (!request)
		return 2;
	body = json_dumps(request, JSON_COMPACT);
	out = open_memstream(&text, &len);
	bug_if(!body || !out);
	if (post(url, body, out) != 0)
		return 1;
	fflush(out);
	return print_reply(text);
}
