#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/error.h"
#include "proto/registry.h"

/* Who serves the calls of a service. */
static const struct {
	const char *service;
	unsigned server;
} servers[] = {
    {"auth", ROLE_AUTH},
    {"session", ROLE_SESSION},
    {"oracle", ROLE_ORACLE},
    {"chain", ROLE_ORACLE},
    {"vault", ROLE_VAULT},
    {"wallet", ROLE_WALLET},
    {"sandbox", ROLE_SANDBOX},
    {"gateway", ROLE_GATEWAY},
    {"service", ROLE_DAEMONS},
};

#define OPERATORS \
	((unsigned)(ROLE_OPERATOR_READ | ROLE_OPERATOR_REVOKE | ROLE_OPERATOR_VAULT | \
		    ROLE_OPERATOR_EXEC))

static unsigned known_roles(void)
{
	static const unsigned roles[] = {
#define ROLE_BIT(bit, name, text) ROLE_##name,
	    ROLES(ROLE_BIT)
#undef ROLE_BIT
	};
	unsigned set = 0;

	for (size_t i = 0; i < ARRAY_LEN(roles); i++)
		set |= roles[i];
	return set;
}

static unsigned server_of(const struct proto_call *call)
{
	size_t len = strcspn(call->name, ".");

	for (size_t i = 0; i < ARRAY_LEN(servers); i++)
		if (strlen(servers[i].service) == len &&
		    memcmp(servers[i].service, call->name, len) == 0)
			return servers[i].server;
	fail_msg("%s: nobody serves it", call->name);
	return 0;
}

/* The whole matrix once more, on purpose: a right is given or taken in two places, or not at all. */
static const struct {
	const char *name;
	unsigned callers;
} matrix[] = {
    {"auth.challenge", ROLE_ROUTER},
    {"auth.verify", ROLE_ROUTER},
    {"auth.confirm", ROLE_VAULT | ROLE_WALLET},
    {"auth.assets", ROLE_ROUTER},
    {"session.mint", ROLE_AUTH},
    {"session.check", ROLE_ROUTER | ROLE_AUTH | ROLE_VAULT | ROLE_SANDBOX | ROLE_WALLET},
    {"session.opening", ROLE_ROUTER},
    {"session.ticket", ROLE_ROUTER},
    {"session.enter", ROLE_ROUTER},
    {"session.list", ROLE_ROUTER},
    {"session.end", ROLE_ROUTER},
    {"session.revoke", ROLE_OPERATOR_REVOKE},
    {"session.ban", ROLE_OPERATOR_REVOKE},
    {"session.enforced", ROLE_ROUTER | ROLE_OPERATOR_READ | ROLE_OPERATOR_REVOKE},
    {"session.unlist", ROLE_OPERATOR_REVOKE},
    {"session.place", ROLE_OPERATOR_REVOKE},
    {"oracle.owner", ROLE_AUTH | ROLE_SESSION | ROLE_VAULT | ROLE_WALLET},
    {"oracle.finalized", ROLE_VAULT},
    {"oracle.assets", ROLE_AUTH},
    {"oracle.reset", ROLE_OPERATOR_REVOKE},
    {"chain.blockhash", ROLE_WALLET},
    {"chain.account", ROLE_WALLET},
    {"chain.accounts", ROLE_WALLET},
    {"chain.rent", ROLE_WALLET},
    {"chain.tokens", ROLE_WALLET},
    {"chain.records", ROLE_WALLET},
    {"chain.simulate", ROLE_WALLET},
    {"chain.send", ROLE_WALLET},
    {"chain.statuses", ROLE_WALLET},
    {"chain.recent", ROLE_WALLET},
    {"wallet.show", ROLE_ROUTER},
    {"wallet.build", ROLE_ROUTER},
    {"wallet.submit", ROLE_ROUTER},
    {"wallet.status", ROLE_ROUTER},
    {"wallet.recent", ROLE_ROUTER},
    {"vault.put", ROLE_ROUTER},
    {"vault.list", ROLE_ROUTER},
    {"vault.delete", ROLE_ROUTER},
    {"vault.resolve", ROLE_ROUTER},
    {"vault.audit", ROLE_ROUTER},
    {"vault.generate", ROLE_ROUTER},
    {"vault.hot", ROLE_ROUTER},
    {"vault.grant", ROLE_ROUTER | ROLE_SANDBOX},
    {"vault.regrant", ROLE_SANDBOX},
    {"vault.note", ROLE_SANDBOX},
    {"vault.materialise", ROLE_SANDBOX},
    {"vault.keep", ROLE_SANDBOX},
    {"vault.hand_over", ROLE_SANDBOX},
    {"vault.use", ROLE_GATEWAY},
    {"vault.state", ROLE_OPERATOR_READ | ROLE_OPERATOR_VAULT},
    {"vault.unseal", ROLE_OPERATOR_VAULT},
    {"vault.rotate", ROLE_OPERATOR_VAULT},
    {"vault.global_put", ROLE_OPERATOR_VAULT},
    {"vault.global_list", ROLE_OPERATOR_VAULT},
    {"vault.global_delete", ROLE_OPERATOR_VAULT},
    {"vault.destroy_owner", ROLE_OPERATOR_VAULT},
    {"vault.reinstate", ROLE_OPERATOR_VAULT},
    {"vault.reset_breaker", ROLE_OPERATOR_VAULT},
    {"vault.export", ROLE_OPERATOR_VAULT},
    {"sandbox.state", ROLE_ROUTER},
    {"sandbox.start", ROLE_ROUTER},
    {"sandbox.stop", ROLE_ROUTER},
    {"sandbox.restart", ROLE_ROUTER},
    {"sandbox.reach", ROLE_ROUTER},
    {"sandbox.logs", ROLE_ROUTER},
    {"sandbox.snapshots", ROLE_ROUTER},
    {"sandbox.snapshot", ROLE_ROUTER},
    {"sandbox.restore", ROLE_ROUTER},
    {"sandbox.discard", ROLE_ROUTER},
    {"sandbox.hand_over", ROLE_ROUTER},
    {"sandbox.accept", ROLE_ROUTER},
    {"sandbox.move", ROLE_OPERATOR_REVOKE},
    {"sandbox.agents", ROLE_OPERATOR_READ},
    {"sandbox.halt", ROLE_OPERATOR_REVOKE},
    {"sandbox.wake", ROLE_OPERATOR_EXEC},
    {"sandbox.exec", ROLE_OPERATOR_EXEC},
    {"gateway.admit", ROLE_SANDBOX},
    {"gateway.leave", ROLE_SANDBOX},
    {"service.status", ROLE_OPERATOR_READ},
};

static unsigned callers_in_matrix(const char *name)
{
	for (size_t row = 0; row < ARRAY_LEN(matrix); row++)
		if (strcmp(matrix[row].name, name) == 0)
			return matrix[row].callers;
	fail_msg("%s: not in the matrix", name);
	return 0;
}

static void the_access_matrix_is_this_one(void **state)
{
	(void)state;
	assert_int_equal(proto_ncalls, ARRAY_LEN(matrix));
	for (size_t i = 0; i < proto_ncalls; i++)
		if (callers_in_matrix(proto_calls[i]->name) != proto_calls[i]->callers)
			fail_msg("%s: other callers than in the matrix", proto_calls[i]->name);
}

static void every_call_has_a_server_and_callers_we_know(void **state)
{
	(void)state;
	for (size_t i = 0; i < proto_ncalls; i++) {
		const struct proto_call *call = proto_calls[i];

		assert_true(server_of(call) != 0);
		assert_true(call->callers != 0);
		assert_int_equal(call->callers & ~known_roles(), 0);
		assert_true(strlen(call->name) <= 64 && strlen(call->doc) > 0);
		assert_true(call->kind == PROTO_READ || call->kind == PROTO_ONCE);
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(call->name, proto_calls[j]->name);
	}
}

static void each_call_has_messages_of_its_own_name(void **state)
{
	char name[80];

	(void)state;
	for (size_t i = 0; i < proto_ncalls; i++) {
		snprintf(name, sizeof(name), "%s request", proto_calls[i]->name);
		assert_string_equal(proto_calls[i]->req->name, name);
		snprintf(name, sizeof(name), "%s reply", proto_calls[i]->name);
		assert_string_equal(proto_calls[i]->rsp->name, name);
	}
}

static void only_operators_may_ask_what_every_daemon_answers(void **state)
{
	(void)state;
	for (size_t i = 0; i < proto_ncalls; i++)
		if (server_of(proto_calls[i]) == ROLE_DAEMONS)
			assert_int_equal(proto_calls[i]->callers & ~OPERATORS, 0);
}

/* Whom a role may call, directly. */
static unsigned reach(unsigned role)
{
	unsigned set = 0;

	for (size_t i = 0; i < proto_ncalls; i++)
		if (proto_calls[i]->callers & role)
			set |= server_of(proto_calls[i]);
	return set;
}

/* Two daemons that wait for each other can stand still together; a graph without a cycle cannot. */
static void no_daemon_can_call_itself_by_any_detour(void **state)
{
	(void)state;
	for (unsigned role = 1; role & known_roles(); role <<= 1) {
		unsigned reached = reach(role), before;
		char text[64];

		if (!(role & ROLE_DAEMONS))
			continue;
		do {
			before = reached;
			for (unsigned step = 1; step & known_roles(); step <<= 1)
				reached |= before & step ? reach(step) : 0;
		} while (reached != before);
		if (reached & role)
			fail_msg("%s can reach itself", role_text(role, text, sizeof(text)));
	}
}

static void nobody_on_the_bus_calls_the_edge(void **state)
{
	(void)state;
	for (size_t i = 0; i < proto_ncalls; i++)
		assert_true(server_of(proto_calls[i]) == ROLE_DAEMONS ||
			    !(server_of(proto_calls[i]) & ROLE_ROUTER));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_access_matrix_is_this_one),
	    cmocka_unit_test(every_call_has_a_server_and_callers_we_know),
	    cmocka_unit_test(each_call_has_messages_of_its_own_name),
	    cmocka_unit_test(only_operators_may_ask_what_every_daemon_answers),
	    cmocka_unit_test(no_daemon_can_call_itself_by_any_detour),
	    cmocka_unit_test(nobody_on_the_bus_calls_the_edge),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
