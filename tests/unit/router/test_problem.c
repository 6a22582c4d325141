#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "services/router/problem.h"

static void a_reason_decides_and_else_the_code(void **state)
{
	(void)state;
	static const struct {
		enum error_code code;
		const char *reason;
		int status;
		const char *name;
	} cases[] = {
	    {ERR_UNAUTHENTICATED, "nonce_unknown", 401, "nonce_unknown"},
	    {ERR_UNAUTHENTICATED, "signature_invalid", 401, "signature_invalid"},
	    {ERR_UNAUTHENTICATED, "message_mismatch", 401, "message_mismatch"},
	    {ERR_UNAUTHENTICATED, "session_missing", 401, "session_missing"},
	    {ERR_UNAUTHENTICATED, "session_invalid", 401, "session_invalid"},
	    {ERR_UNAUTHENTICATED, "session_expired", 401, "session_expired"},
	    {ERR_UNAUTHENTICATED, "session_revoked", 401, "session_revoked"},
	    {ERR_DENIED, "not_owner", 403, "not_owner"},
	    {ERR_DENIED, "asset_refused", 403, "asset_refused"},
	    {ERR_DENIED, "banned", 403, "banned"},
	    {ERR_DENIED, "origin_refused", 403, "origin_refused"},
	    {ERR_CONFLICT, "asset_required", 409, "asset_required"},
	    {ERR_UNAVAILABLE, "chain_unavailable", 503, "chain_unavailable"},
	    {ERR_UNAVAILABLE, "service_unavailable", 503, "service_unavailable"},
	    {ERR_BUSY, "rate_limited", 429, "rate_limited"},
	    {ERR_INVALID, "wallet_invalid", 400, "wallet_invalid"},
	    {ERR_INVALID, "asset_invalid", 400, "asset_invalid"},
	    {ERR_INVALID, "body_invalid", 400, "body_invalid"},
	    {ERR_INVALID, "recipient_invalid", 400, "recipient_invalid"},
	    {ERR_INVALID, "secret_name_invalid", 400, "secret_name_invalid"},
	    {ERR_INVALID, "secret_value_invalid", 400, "secret_value_invalid"},
	    {ERR_INVALID, "provider_unknown", 400, "provider_unknown"},
	    {ERR_CONFLICT, "secrets_exhausted", 409, "secrets_exhausted"},
	    {ERR_CONFLICT, "already_revealed", 409, "already_revealed"},
	    {ERR_INTERNAL, "secret_undecryptable", 500, "secret_undecryptable"},
	    {ERR_INTERNAL, "secret_rolled_back", 500, "secret_rolled_back"},
	    {ERR_UNAVAILABLE, "vault_sealed", 503, "vault_sealed"},
	    {ERR_UNAVAILABLE, "vault_period_locked", 503, "vault_period_locked"},
	    {ERR_CONFLICT, "vault_period_destroyed", 409, "vault_period_destroyed"},
	    {ERR_UNAVAILABLE, "vault_foreign_key", 503, "vault_foreign_key"},
	    {ERR_CONFLICT, "vault_foreign_key", 503, "vault_foreign_key"},
	    {ERR_UNAVAILABLE, "storage_unavailable", 503, "storage_unavailable"},
	    {ERR_BUSY, "storage_busy", 503, "storage_busy"},
	    {ERR_INTERNAL, "storage_refused", 500, "storage_refused"},
	    {ERR_INTERNAL, "storage_damaged", 500, "storage_damaged"},
	    {ERR_CONFLICT, "snapshot_busy", 409, "snapshot_busy"},
	    {ERR_CONFLICT, "snapshot_newest", 409, "snapshot_newest"},
	    {ERR_CONFLICT, "snapshot_overtaken", 409, "snapshot_overtaken"},
	    {ERR_CONFLICT, "snapshot_damaged", 409, "snapshot_damaged"},
	    {ERR_INVALID, "exclude_invalid", 422, "exclude_invalid"},
	    {ERR_UNAVAILABLE, "snapshot_failed", 503, "snapshot_failed"},
	    {ERR_NOT_FOUND, "", 404, "not_found"},
	    {ERR_TIMEOUT, "", 503, "service_unavailable"},
	    {ERR_UNAVAILABLE, "", 503, "service_unavailable"},
	    {ERR_BUSY, "", 429, "rate_limited"},
	    {ERR_INTERNAL, "", 500, "internal"},
	    {ERR_DENIED, "", 403, "denied"},
	    /* a reason that nobody told us about says no more than its code */
	    {ERR_DENIED, "moon_in_wrong_phase", 403, "denied"},
	    {(enum error_code)99, "", 500, "internal"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct error err = {.code = cases[i].code};
		if (cases[i].reason[0])
			error_refuse(&err, cases[i].code, cases[i].reason, "text");
		const struct problem *problem = problem_of(&err);
		assert_string_equal(problem->code, cases[i].name);
		assert_int_equal(problem->status, cases[i].status);
		assert_true(problem->detail[0] != '\0');
		/* whoever is told to come back is told when */
		if (problem->status == 429 || problem->status == 503)
			assert_true(problem->retry_after_s > 0);
	}
}

static void says_what_is_wrong_with_the_request_and_nothing_of_how_it_was_asked(void **state)
{
	(void)state;
	static const struct {
		enum error_code code;
		const char *text, *detail;
	} cases[] = {
	    {ERR_INVALID, "vault.put: invalid: the value is refused: it is empty",
		"the value is refused: it is empty"},
	    {ERR_INVALID, "vault.global_put: invalid: x: invalid: y", "x: invalid: y"},
	    {ERR_INVALID, "value is missing", "value is missing"},
	    {ERR_INVALID, "a value: invalid: x", "a value: invalid: x"},
	    {ERR_INVALID, "vault.put: invalid", "vault.put: invalid"},
	    {ERR_INVALID, "", "The request is wrong."},
	    {ERR_DENIED, "vault.put: denied: the asset is x", "Not allowed."},
	    {ERR_INTERNAL, "a row of chain x", "Something went wrong on our side."},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct error err = {.code = cases[i].code};
		snprintf(err.text, sizeof(err.text), "%s", cases[i].text);
		assert_string_equal(problem_detail(&err), cases[i].detail);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_reason_decides_and_else_the_code),
	    cmocka_unit_test(says_what_is_wrong_with_the_request_and_nothing_of_how_it_was_asked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
