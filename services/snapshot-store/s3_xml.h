/* s3_xml - reads the XML that storages answer with: every element that holds text alone, by its path. A document type, deep nesting or long text is an error. */
#ifndef SNAPSHOT_STORE_S3_XML_H
#define SNAPSHOT_STORE_S3_XML_H

#include <stddef.h>

#define S3_XML_TEXT_MAX 2048

/* path: "ListBucketResult/Contents/Key", without namespaces. Not 0 ends the reading, which then fails. */
typedef int (*s3_xml_text)(void *arg, const char *path, const char *text);
/* -1: it is not well-formed, goes beyond what a storage says, or on_text said so. */
int s3_xml_read(const char *xml, size_t len, s3_xml_text on_text, void *arg);
/* The text at that path, "" if there is none. */
void s3_xml_find(const char *xml, size_t len, const char *path, char *text, size_t size);

#endif
