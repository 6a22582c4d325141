#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <sodium.h>

#include "common/scoped.h"
#include "services/snapshot-store/s3_sign.h"

#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define HOST "examplebucket.s3.amazonaws.com"
#define DATE "20130524T000000Z"

/* The four examples of "Signature Calculations for the Authorization Header", Amazon S3 API Reference. */
struct example {
	const char *method, *path, *query, *payload;
	struct s3_header headers[6];
	const char *signature;
};
static const struct example examples[] = {
    {"GET", "/test.txt", "", EMPTY,
	{{"host", HOST}, {"range", "bytes=0-9"}, {"x-amz-content-sha256", EMPTY},
	    {"x-amz-date", DATE}},
	"f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"},
    {"PUT", "/test%24file.text", "",
	"44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
	{{"date", "Fri, 24 May 2013 00:00:00 GMT"}, {"host", HOST},
	    {"x-amz-content-sha256",
		"44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"},
	    {"x-amz-date", DATE}, {"x-amz-storage-class", "REDUCED_REDUNDANCY"}},
	"98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"},
    {"GET", "/", "lifecycle=", EMPTY,
	{{"host", HOST}, {"x-amz-content-sha256", EMPTY}, {"x-amz-date", DATE}},
	"fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
    {"GET", "/", "max-keys=2&prefix=J", EMPTY,
	{{"host", HOST}, {"x-amz-content-sha256", EMPTY}, {"x-amz-date", DATE}},
	"34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
};

static void signs_the_published_examples(void **state)
{
	static const char id[] = "AKIAIOSFODNN7EXAMPLE",
			  key[] = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
	scoped_secret struct secret *key_id = secret_new(id, strlen(id));
	scoped_secret struct secret *secret_key = secret_new(key, strlen(key));
	char authorization[S3_AUTHORIZATION_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(examples); i++) {
		const struct example *example = &examples[i];
		struct s3_signed what = {example->method, example->path, example->query,
		    example->headers, 0, example->payload, DATE, "us-east-1"};
		while (what.nheaders < 6 && example->headers[what.nheaders].name)
			what.nheaders++;
		assert_int_equal(s3_sign(&what, key_id, secret_key, authorization), 0);
		const char *signature = strstr(authorization, "Signature=");
		assert_non_null(signature);
		assert_string_equal(signature + 10, example->signature);
		assert_ptr_equal(strstr(authorization, "AWS4-HMAC-SHA256 "
						       "Credential=AKIAIOSFODNN7EXAMPLE/20130524/"
						       "us-east-1/s3/aws4_request, SignedHeaders="),
		    authorization);
	}
}

static void hashes_dates_and_encodes(void **state)
{
	char hex[S3_SHA256_HEX + 1], date[S3_DATE_LEN + 1];

	(void)state;
	s3_sign_hash("", 0, hex);
	assert_string_equal(hex, EMPTY);
	s3_sign_hash("Welcome to Amazon S3.", 21, hex);
	assert_string_equal(
	    hex, "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072");
	s3_sign_date(1369353600000, date);
	assert_string_equal(date, DATE);
	scoped_free char *encoded = s3_sign_encode("a/b c+d=e&~_-.\xc3\xa9%");
	assert_string_equal(encoded, "a%2Fb%20c%2Bd%3De%26~_-.%C3%A9%25");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(signs_the_published_examples),
	    cmocka_unit_test(hashes_dates_and_encodes),
	};

	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
