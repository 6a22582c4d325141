#include "services/sandbox/demo-agent/providers.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_MAX 64
#define NAME_LEN 56

/* What needs no escaping in JSON. */
static bool is_name(const char *name)
{
	static const char chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789_-.";

	return name[0] != '.' && strlen(name) < NAME_LEN && strspn(name, chars) == strlen(name);
}

static int compare(const void *a, const void *b)
{
	return strcmp(a, b);
}

static size_t read_names(const char *secrets, char names[NAMES_MAX][NAME_LEN])
{
	char path[512];
	struct dirent *entry;
	size_t n = 0;
	int len = snprintf(path, sizeof(path), "%s/llm", secrets);
	DIR *folder = len < (int)sizeof(path) ? opendir(path) : NULL;

	if (!folder)
		return 0;
	while (n < NAMES_MAX && (entry = readdir(folder)))
		if (is_name(entry->d_name))
			snprintf(names[n++], NAME_LEN, "%.*s", NAME_LEN - 1, entry->d_name);
	closedir(folder);
	qsort(names, n, NAME_LEN, compare);
	return n;
}

char *providers_json(const char *secrets, char text[PROVIDERS_TEXT_MAX])
{
	char names[NAMES_MAX][NAME_LEN];
	size_t n = read_names(secrets, names), len = 1;

	text[0] = '[';
	for (size_t i = 0; i < n; i++)
		len += (size_t)snprintf(
		    text + len, PROVIDERS_TEXT_MAX - len, "%s\"%s\"", i ? "," : "", names[i]);
	snprintf(text + len, PROVIDERS_TEXT_MAX - len, "]");
	return text;
}
