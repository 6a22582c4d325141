#include "services/chain-oracle/node_urls.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static void scoped_url_fn(CURLU **url)
{
	curl_url_cleanup(*url);
}
static void scoped_part_fn(char **part)
{
	curl_free(*part);
}
#define scoped_url __attribute__((cleanup(scoped_url_fn)))
#define scoped_part __attribute__((cleanup(scoped_part_fn)))

static bool is_local(const char *host)
{
	return strcmp(host, "127.0.0.1") == 0 || strcmp(host, "[::1]") == 0 ||
	       strcasecmp(host, "localhost") == 0;
}

static int raise_port(CURLU *url, struct error *err)
{
	scoped_part char *host = NULL;
	scoped_part char *port = NULL;
	char next[24];
	if (curl_url_get(url, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
	    curl_url_get(url, CURLUPART_PORT, &port, 0) != CURLUE_OK || !is_local(host))
		return 0;
	snprintf(next, sizeof(next), "%lu", strtoul(port, NULL, 10) + 1);
	if (curl_url_set(url, CURLUPART_PORT, next, 0) != CURLUE_OK)
		return error_set(err, ERR_INVALID, "no port above %s", port);
	return 0;
}

char *node_urls_pubsub(const char *rpc_url, struct error *err)
{
	scoped_url CURLU *url = curl_url();
	scoped_part char *text = NULL;
	char *result = NULL;
	bug_if(!url);
	if (strncasecmp(rpc_url, "http", 4) != 0 ||
	    curl_url_set(url, CURLUPART_URL, rpc_url, 0) != CURLUE_OK) {
		error_set(err, ERR_INVALID, "not an http or https address");
		return NULL;
	}
	if (raise_port(url, err) < 0)
		return NULL;
	bug_if(curl_url_get(url, CURLUPART_URL, &text, 0) != CURLUE_OK);
	bug_if(asprintf(&result, "ws%s", text + strlen("http")) < 0);
	return result;
}
