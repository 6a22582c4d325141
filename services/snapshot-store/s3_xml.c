#include "services/snapshot-store/s3_xml.h"

#include <expat.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/error.h"

#define DEPTH_MAX 8
#define PATH_MAX_LEN 200

struct reading {
	XML_Parser parser;
	s3_xml_text on_text;
	void *arg;
	char path[PATH_MAX_LEN];
	size_t path_len[DEPTH_MAX + 1]; /* before the element at that depth */
	unsigned depth;
	char text[S3_XML_TEXT_MAX + 1];
	size_t len;
	bool is_leaf, has_failed;
};

static void give_up(struct reading *reading)
{
	reading->has_failed = true;
	XML_StopParser(reading->parser, XML_FALSE);
}

static void on_begin(void *arg, const char *name, const char **attributes)
{
	struct reading *reading = arg;
	size_t at = strlen(reading->path);

	(void)attributes;
	if (reading->has_failed || reading->depth == DEPTH_MAX ||
	    at + strlen(name) + 2 > PATH_MAX_LEN) {
		give_up(reading);
		return;
	}
	reading->path_len[reading->depth++] = at;
	snprintf(reading->path + at, PATH_MAX_LEN - at, "%s%s", at ? "/" : "", name);
	reading->len = 0;
	reading->is_leaf = true;
}

static void on_chars(void *arg, const char *chars, int len)
{
	struct reading *reading = arg;

	if (reading->has_failed || !reading->is_leaf)
		return;
	if ((size_t)len > S3_XML_TEXT_MAX - reading->len) {
		give_up(reading);
		return;
	}
	memcpy(reading->text + reading->len, chars, (size_t)len);
	reading->len += (size_t)len;
}

static void on_end(void *arg, const char *name)
{
	struct reading *reading = arg;

	(void)name;
	/* expat still tells of the end of an empty element whose beginning stopped it */
	if (reading->has_failed)
		return;
	reading->text[reading->len] = '\0';
	if (reading->is_leaf && reading->on_text(reading->arg, reading->path, reading->text) != 0)
		give_up(reading);
	reading->is_leaf = false;
	reading->path[reading->path_len[--reading->depth]] = '\0';
}

static void on_doctype(
    void *arg, const char *name, const char *system, const char *public, int has_internal)
{
	(void)name, (void)system, (void)public, (void)has_internal;
	give_up(arg);
}

int s3_xml_read(const char *xml, size_t len, s3_xml_text on_text, void *arg)
{
	struct reading reading = {.on_text = on_text, .arg = arg};

	if (len > INT_MAX)
		return -1;
	reading.parser = XML_ParserCreate("UTF-8");
	bug_if(!reading.parser);
	XML_SetUserData(reading.parser, &reading);
	XML_SetElementHandler(reading.parser, on_begin, on_end);
	XML_SetCharacterDataHandler(reading.parser, on_chars);
	XML_SetStartDoctypeDeclHandler(reading.parser, on_doctype);
	enum XML_Status status = XML_Parse(reading.parser, xml, (int)len, XML_TRUE);
	XML_ParserFree(reading.parser);
	return status == XML_STATUS_OK && !reading.has_failed ? 0 : -1;
}

struct finding {
	const char *path;
	char *text;
	size_t size;
};

static int on_found(void *arg, const char *path, const char *text)
{
	const struct finding *finding = arg;

	if (!finding->text[0] && strcmp(path, finding->path) == 0)
		snprintf(finding->text, finding->size, "%s", text);
	return 0;
}

void s3_xml_find(const char *xml, size_t len, const char *path, char *text, size_t size)
{
	struct finding finding = {path, text, size};

	text[0] = '\0';
	if (s3_xml_read(xml, len, on_found, &finding) != 0)
		text[0] = '\0';
}
