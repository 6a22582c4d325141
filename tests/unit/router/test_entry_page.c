#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/error.h"
#include "services/router/entry_page.h"

/* The hash that a browser makes of what stands between the tags. */
static void assert_allowed(const struct entry_page *page, const char *tag)
{
	char open[16], close[16], source[96], hash[64];
	uint8_t digest[crypto_hash_sha256_BYTES];
	snprintf(open, sizeof(open), "<%s>", tag);
	snprintf(close, sizeof(close), "</%s>", tag);
	const char *from = strstr(page->html, open);
	assert_non_null(from);
	from += strlen(open);
	const char *to = strstr(from, close);
	assert_non_null(to);
	crypto_hash_sha256(digest, (const uint8_t *)from, (size_t)(to - from));
	sodium_bin2base64(
	    hash, sizeof(hash), digest, sizeof(digest), sodium_base64_VARIANT_ORIGINAL);
	snprintf(source, sizeof(source), "%s-src 'sha256-%s'", tag, hash);
	assert_non_null(strstr(page->policy, source));
}

static void the_policy_lets_the_page_run_what_it_holds_and_nothing_else(void **state)
{
	(void)state;
	struct entry_page page;
	entry_page_init(&page, "https://app.example");
	assert_int_equal(page.len, strlen(page.html));
	assert_allowed(&page, "script");
	assert_allowed(&page, "style");
	for (size_t i = 0; i < 4; i++) {
		static const char *const must[] = {"default-src 'none'", "frame-ancestors 'none'",
		    "base-uri 'none'", "form-action 'none'"};
		assert_non_null(strstr(page.policy, must[i]));
	}
	assert_null(strstr(page.policy, "unsafe"));
	assert_true(strlen(page.policy) < sizeof(page.policy) - 1);
	assert_non_null(strstr(page.html, "href=\"https://app.example/\""));
	assert_non_null(strstr(page.html, "location.replace('/')"));
	entry_page_clear(&page);
	assert_null(page.html);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_policy_lets_the_page_run_what_it_holds_and_nothing_else),
	};
	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
