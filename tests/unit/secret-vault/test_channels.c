/* channels.json: what OpenClaw reads, checked with a JSON library that is not what wrote it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sodium.h>
#include <string.h>

#include "common/scoped.h"
#include "proto/vault.h"
#include "services/secret-vault/channels.h"

enum { TELEGRAM, DISCORD, SLACK, SLACK_APP };

static json_t *written(const char *const text[CHANNELS_TOKENS])
{
	struct secret *token[CHANNELS_TOKENS] = {0};
	const struct secret *borrowed[CHANNELS_TOKENS];
	static uint8_t bytes[VAULT_VALUE_MAX];
	for (size_t i = 0; i < CHANNELS_TOKENS; i++) {
		token[i] = text[i] ? secret_new(text[i], strlen(text[i])) : NULL;
		borrowed[i] = token[i];
	}
	size_t len = channels_write(borrowed, bytes, sizeof(bytes));
	for (size_t i = 0; i < CHANNELS_TOKENS; i++)
		secret_destroy(&token[i]);
	assert_true(len > 0);
	json_error_t why;
	json_t *json = json_loadb((const char *)bytes, len, JSON_REJECT_DUPLICATES, &why);
	if (!json)
		fail_msg("%s in %.*s", why.text, (int)len, (const char *)bytes);
	return json;
}

static const char *at(const json_t *json, const char *channel, const char *key)
{
	const json_t *channels = json_object_get(json, "channels");
	return json_string_value(json_object_get(json_object_get(channels, channel), key));
}

static void without_tokens_there_is_no_channel(void **state)
{
	(void)state;
	const char *const none[CHANNELS_TOKENS] = {0};
	scoped_json json_t *json = written(none);
	assert_true(json_is_object(json_object_get(json, "channels")));
	assert_int_equal(json_object_size(json_object_get(json, "channels")), 0);
	assert_int_equal(json_object_size(json), 1);
}

static void every_channel_pairs_strangers_and_lists_groups(void **state)
{
	(void)state;
	const char *const all[CHANNELS_TOKENS] = {"1:tg", "dc", "xoxb-1", "xapp-1"};
	static const char *const channels[] = {"telegram", "discord", "slack"};
	scoped_json json_t *json = written(all);
	assert_int_equal(json_object_size(json_object_get(json, "channels")), 3);
	for (size_t i = 0; i < 3; i++) {
		const json_t *channel =
		    json_object_get(json_object_get(json, "channels"), channels[i]);
		assert_true(json_is_true(json_object_get(channel, "enabled")));
		assert_string_equal(at(json, channels[i], "dmPolicy"), "pairing");
		assert_string_equal(at(json, channels[i], "groupPolicy"), "allowlist");
	}
	assert_string_equal(at(json, "telegram", "botToken"), "1:tg");
	assert_string_equal(at(json, "discord", "token"), "dc");
	assert_string_equal(at(json, "slack", "botToken"), "xoxb-1");
	assert_string_equal(at(json, "slack", "appToken"), "xapp-1");
}

static void any_set_of_tokens_is_good_json(void **state)
{
	(void)state;
	static const char *const keys[][2] = {{"telegram", "botToken"}, {"discord", "token"},
	    {"slack", "botToken"}, {"slack", "appToken"}};
	for (unsigned set = 0; set < 1u << CHANNELS_TOKENS; set++) {
		const char *text[CHANNELS_TOKENS];
		for (unsigned i = 0; i < CHANNELS_TOKENS; i++)
			text[i] = set & 1u << i ? "t" : NULL;
		scoped_json json_t *json = written(text);
		for (unsigned i = 0; i < CHANNELS_TOKENS; i++) {
			bool expected = text[i] && (i != SLACK_APP || text[SLACK]);
			assert_int_equal(at(json, keys[i][0], keys[i][1]) != NULL, expected);
		}
	}
}

static void a_token_cannot_leave_its_string(void **state)
{
	(void)state;
	static const char *const hostile[] = {
	    "\",\"dmPolicy\":\"open\",\"allowFrom\":[\"*\"],\"x\":\"",
	    "\\",
	    "\\\"",
	    "ends with a backslash \\",
	    "\n\r\t\b\f\x01\x1f\x7f",
	    "</script><!--",
	    "\xf0\x9f\xa6\x9e \xe2\x80\xa8 \xc3\xa9",
	    "\\u0000",
	};
	for (size_t i = 0; i < ARRAY_LEN(hostile); i++) {
		const char *const text[CHANNELS_TOKENS] = {[TELEGRAM] = hostile[i]};
		scoped_json json_t *json = written(text);
		assert_string_equal(at(json, "telegram", "botToken"), hostile[i]);
		assert_string_equal(at(json, "telegram", "dmPolicy"), "pairing");
		assert_null(at(json, "telegram", "allowFrom"));
	}
}

/* Of what value_check lets pass for kind bot, nothing grows to more than twice its size. */
static void the_longest_tokens_fit_into_a_file(void **state)
{
	(void)state;
	char token[BOT_TOKEN_MAX + 1];
	memset(token, '"', BOT_TOKEN_MAX);
	token[BOT_TOKEN_MAX] = '\0';
	const char *const text[CHANNELS_TOKENS] = {token, token, token, token};
	scoped_json json_t *json = written(text);
	assert_string_equal(at(json, "slack", "appToken"), token);
}

static void says_when_it_does_not_fit(void **state)
{
	(void)state;
	uint8_t bytes[512];
	scoped_secret struct secret *value = secret_new("0123456789", 10);
	const struct secret *token[CHANNELS_TOKENS] = {value, value, value, value};
	size_t whole = channels_write(token, bytes, sizeof(bytes));
	assert_true(whole > 0);
	for (size_t size = 0; size < sizeof(bytes); size++) {
		memset(bytes, 0xee, sizeof(bytes));
		assert_int_equal(channels_write(token, bytes, size), size < whole ? 0 : whole);
		for (size_t i = size; i < sizeof(bytes); i++)
			assert_int_equal(bytes[i], 0xee);
	}
}

static void knows_which_secrets_it_takes(void **state)
{
	(void)state;
	for (size_t i = 0; i < CHANNELS_TOKENS; i++)
		assert_true(channels_has_token(channels_token_name(i)));
	assert_false(channels_has_token("signal"));
	assert_false(channels_has_token("telegram2"));
	assert_false(channels_has_token(""));
}

static int set_up(void **state)
{
	(void)state;
	return sodium_init() < 0 ? -1 : 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(without_tokens_there_is_no_channel),
	    cmocka_unit_test(every_channel_pairs_strangers_and_lists_groups),
	    cmocka_unit_test(any_set_of_tokens_is_good_json),
	    cmocka_unit_test(a_token_cannot_leave_its_string),
	    cmocka_unit_test(the_longest_tokens_fit_into_a_file),
	    cmocka_unit_test(says_when_it_does_not_fit),
	    cmocka_unit_test(knows_which_secrets_it_takes),
	};
	return cmocka_run_group_tests(tests, set_up, NULL);
}
