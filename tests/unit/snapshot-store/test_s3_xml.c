#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/error.h"
#include "services/snapshot-store/s3_xml.h"

static int note(void *arg, const char *path, const char *text)
{
	char *seen = arg;
	size_t at = strlen(seen);

	snprintf(seen + at, 4096 - at, "%s=%s;", path, text);
	return 0;
}

static void reads_a_list(void **state)
{
	static const char xml[] =
	    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
	    "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\n <Prefix/>"
	    "<IsTruncated>true</IsTruncated><Contents><Key>a&amp;b</Key><ETag>&quot;x&quot;</"
	    "ETag></Contents>\n"
	    "<Contents><Key>c</Key></Contents></ListBucketResult>";
	char seen[4096] = "", text[16];

	(void)state;
	assert_int_equal(s3_xml_read(xml, strlen(xml), note, seen), 0);
	assert_string_equal(seen,
	    "ListBucketResult/Prefix=;ListBucketResult/IsTruncated=true;"
	    "ListBucketResult/Contents/Key=a&b;ListBucketResult/Contents/ETag=\"x\";"
	    "ListBucketResult/Contents/Key=c;");
	s3_xml_find(xml, strlen(xml), "ListBucketResult/Contents/Key", text, sizeof(text));
	assert_string_equal(text, "a&b");
	s3_xml_find(xml, strlen(xml), "Error/Code", text, sizeof(text));
	assert_string_equal(text, "");
}

static void refuses_what_no_storage_says(void **state)
{
	static const char *const xmls[] = {"", "<a>", "<a></b>", "text", "<a>&undefined;</a>",
	    "<!DOCTYPE a [<!ENTITY e \"x\">]><a>&e;</a>",
	    "<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a/>",
	    "<a><a><a><a><a><a><a><a><a/></a></a></a></a></a></a></a></a>", "<a/><a/>",
	    "<a>\x01</a>", "<a>\xff</a>"};
	char seen[4096] = "", text[16];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(xmls); i++)
		if (s3_xml_read(xmls[i], strlen(xmls[i]), note, seen) == 0)
			fail_msg("taken: %s", xmls[i]);
	s3_xml_find("<Error><Code>A</Code>", 21, "Error/Code", text, sizeof(text));
	assert_string_equal(text, "");
}

static void refuses_text_and_names_without_end(void **state)
{
	char *xml = malloc(70000), seen[4096] = "";

	(void)state;
	memset(xml, 'a', 70000);
	memcpy(xml, "<k>", 3);
	memcpy(xml + 69996, "</k>", 4);
	assert_int_equal(s3_xml_read(xml, 70000, note, seen), -1);
	memcpy(xml, "<kaa", 4);
	memcpy(xml + 69998, "/>", 2);
	assert_int_equal(s3_xml_read(xml, 70000, note, seen), -1);
	free(xml);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(reads_a_list),
	    cmocka_unit_test(refuses_what_no_storage_says),
	    cmocka_unit_test(refuses_text_and_names_without_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
