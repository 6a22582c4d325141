/* What a storage answers with: paths and texts that are told are within their bounds, and what is found in an answer is something that was told. */
#include <stdlib.h>
#include <string.h>

#include "services/snapshot-store/s3_xml.h"

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t size);

static int look(void *arg, const char *path, const char *text)
{
	size_t *told = arg;

	if (strlen(path) >= 200 || strlen(text) > S3_XML_TEXT_MAX || !path[0])
		abort();
	return ++*told > 1000 ? -1 : 0;
}

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t size)
{
	size_t told = 0;
	char code[16];

	int status = s3_xml_read((const char *)bytes, size, look, &told);
	s3_xml_find((const char *)bytes, size, "Error/Code", code, sizeof(code));
	if (strlen(code) >= sizeof(code) || (code[0] && status != 0 && told <= 1000))
		abort();
	return 0;
}
