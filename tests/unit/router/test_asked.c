#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "services/router/asked.h"

#define ID "abcdefghijklmnopqrstuvwxyz234567"
#define OTHER "bbcdefghijklmnopqrstuvwxyz234567"
#define HOST ID ".claws.example"
#define SESSION \
	{ \
		"Cookie", "a=1; __Host-multiclaw-agent=t.t.t" \
	}
#define NGINX \
	{ \
		"X-Original-Host", HOST \
	}

struct pair {
	const char *name, *value;
};
struct expected {
	const char *name, *dialect;
	enum asked_verdict verdict;
	struct pair headers[8];
	const char *method;
};

/* clang-format off */
static const struct expected cases[] = {
    {"nginx", "nginx", ASKED_GO_ON, {{"Host", "router"}, NGINX, SESSION}, NULL},
    {"traefik", "traefik", ASKED_GO_ON, {{"Host", "router"}, {"X-Forwarded-Host", HOST}, SESSION}, NULL},
    {"envoy", "envoy", ASKED_GO_ON, {{"Host", HOST}, SESSION}, NULL},
    {"names of headers have no case", "nginx", ASKED_GO_ON, {{"x-original-host", HOST}, {"cookie", "__Host-multiclaw-agent=t"}}, NULL},
    {"unknown headers do not matter", "nginx", ASKED_GO_ON, {NGINX, SESSION, {"X-Forwarded-For", "1.2.3.4"}, {"X-Forwarded-Proto", "http"}}, NULL},

    {"no host", "nginx", ASKED_HOST_REFUSED, {{"Host", HOST}, SESSION}, NULL},
    {"no host header of traefik's", "traefik", ASKED_HOST_REFUSED, {{"Host", HOST}, SESSION}, NULL},
    {"the host twice", "nginx", ASKED_HOST_REFUSED, {NGINX, NGINX, SESSION}, NULL},
    {"nginx's header to envoy", "envoy", ASKED_HOST_REFUSED, {{"Host", HOST}, NGINX, SESSION}, NULL},
    {"nginx's header to traefik", "traefik", ASKED_HOST_REFUSED, {{"X-Forwarded-Host", HOST}, NGINX, SESSION}, NULL},
    {"X-Forwarded-Host to nginx", "nginx", ASKED_HOST_REFUSED, {NGINX, {"X-Forwarded-Host", HOST}, SESSION}, NULL},
    {"X-Forwarded-Host to envoy", "envoy", ASKED_HOST_REFUSED, {{"Host", HOST}, {"X-Forwarded-Host", HOST}, SESSION}, NULL},
    {"Forwarded", "nginx", ASKED_HOST_REFUSED, {NGINX, {"Forwarded", "host=" HOST}, SESSION}, NULL},
    {"an empty Forwarded", "nginx", ASKED_HOST_REFUSED, {NGINX, {"Forwarded", ""}, SESSION}, NULL},
    {"X-Host", "envoy", ASKED_HOST_REFUSED, {{"Host", HOST}, {"X-Host", HOST}, SESSION}, NULL},
    {"X-HTTP-Host-Override", "nginx", ASKED_HOST_REFUSED, {NGINX, {"X-HTTP-Host-Override", HOST}, SESSION}, NULL},
    {"another domain", "nginx", ASKED_HOST_REFUSED, {{"X-Original-Host", ID ".claw.example"}, SESSION}, NULL},
    {"upper case", "nginx", ASKED_HOST_REFUSED, {{"X-Original-Host", ID ".CLAWS.example"}, SESSION}, NULL},
    {"Origin twice", "nginx", ASKED_HOST_REFUSED, {NGINX, SESSION, {"Origin", "https://" HOST}, {"Origin", "https://" HOST}}, NULL},

    {"no cookie", "nginx", ASKED_UNAUTHENTICATED, {NGINX}, NULL},
    {"other cookies", "nginx", ASKED_UNAUTHENTICATED, {NGINX, {"Cookie", "a=1"}}, NULL},
    {"ours twice", "nginx", ASKED_UNAUTHENTICATED, {NGINX, {"Cookie", "__Host-multiclaw-agent=t; __Host-multiclaw-agent=t"}}, NULL},
    {"ours twice in two headers", "nginx", ASKED_UNAUTHENTICATED, {NGINX, SESSION, SESSION}, NULL},
    {"the console's twice", "nginx", ASKED_UNAUTHENTICATED, {NGINX, {"Cookie", "__Host-multiclaw=t; __Host-multiclaw=u"}, SESSION}, NULL},
    {"the console's session", "nginx", ASKED_UNAUTHENTICATED, {NGINX, {"Cookie", "__Host-multiclaw=t.t.t"}}, NULL},
    {"the state of a browser that enters", "nginx", ASKED_UNAUTHENTICATED, {NGINX, {"Cookie", "__Host-multiclaw-state=t"}}, NULL},
    {"that state twice", "nginx", ASKED_UNAUTHENTICATED, {NGINX, SESSION, {"Cookie", "__Host-multiclaw-state=t; __Host-multiclaw-state=u"}}, NULL},
    {"no token", "nginx", ASKED_UNAUTHENTICATED, {NGINX, {"Cookie", "__Host-multiclaw-agent=%20"}}, NULL},
    {"an empty agent's cookie is not made up for by the console's", "nginx", ASKED_UNAUTHENTICATED,
	{NGINX, {"Cookie", "__Host-multiclaw-agent=; __Host-multiclaw=t"}}, NULL},

    {"its own origin", "nginx", ASKED_GO_ON, {NGINX, SESSION, {"Origin", "https://" HOST}}, NULL},
    {"another agent's origin", "nginx", ASKED_ORIGIN_REFUSED, {NGINX, SESSION, {"Origin", "https://" OTHER ".claws.example"}}, NULL},
    {"the console's origin", "nginx", ASKED_ORIGIN_REFUSED, {NGINX, SESSION, {"Origin", "https://app.example"}}, NULL},
    {"origin null", "nginx", ASKED_ORIGIN_REFUSED, {NGINX, SESSION, {"Origin", "null"}}, NULL},
    {"an empty origin", "nginx", ASKED_ORIGIN_REFUSED, {NGINX, SESSION, {"Origin", ""}}, NULL},
    {"another scheme", "nginx", ASKED_ORIGIN_REFUSED, {NGINX, SESSION, {"Origin", "http://" HOST}}, NULL},
    {"a foreign origin says the same to a stranger", "nginx", ASKED_ORIGIN_REFUSED, {NGINX, {"Origin", "https://evil.example"}}, NULL},
    {"WebSocket of its own page", "nginx", ASKED_GO_ON, {NGINX, SESSION, {"Upgrade", "websocket"}, {"Origin", "https://" HOST}}, NULL},
    {"WebSocket without origin", "nginx", ASKED_ORIGIN_REFUSED, {NGINX, SESSION, {"Upgrade", "websocket"}}, NULL},
    {"WebSocket with a foreign origin", "nginx", ASKED_ORIGIN_REFUSED, {NGINX, SESSION, {"Upgrade", "websocket"}, {"Origin", "https://app.example"}}, NULL},
    {"WebSocket without origin, its Upgrade taken away on the way", "traefik", ASKED_ORIGIN_REFUSED, {{"X-Forwarded-Host", HOST}, {"X-Forwarded-Method", "GET"}, SESSION, {"Sec-WebSocket-Key", "x"}}, NULL},
    {"any upgrade without origin", "envoy", ASKED_ORIGIN_REFUSED, {{"Host", HOST}, SESSION, {"Upgrade", "h2c"}}, NULL},
    {"an upgrade that nginx emptied", "nginx", ASKED_GO_ON, {NGINX, SESSION, {"Upgrade", ""}}, NULL},
    {"a service worker's script", "nginx", ASKED_GO_ON, {NGINX, SESSION, {"Service-Worker", "script"}}, NULL},
    {"a service worker's script, to a stranger", "nginx", ASKED_UNAUTHENTICATED, {NGINX, {"Service-Worker", "script"}}, NULL},
    {"a service worker's script of another's page", "nginx", ASKED_ORIGIN_REFUSED, {NGINX, SESSION, {"Service-Worker", "script"}, {"Origin", "https://evil.example"}}, NULL},

    {"a form of another site", "nginx", ASKED_ORIGIN_REFUSED, {NGINX, SESSION, {"X-Original-Method", "POST"}, {"Sec-Fetch-Site", "cross-site"}}, NULL},
    {"a form of the same site", "nginx", ASKED_ORIGIN_REFUSED, {NGINX, SESSION, {"X-Original-Method", "POST"}, {"Sec-Fetch-Site", "same-site"}}, NULL},
    {"a link from another site", "nginx", ASKED_GO_ON, {NGINX, SESSION, {"X-Original-Method", "GET"}, {"Sec-Fetch-Site", "cross-site"}}, NULL},
    {"its own form", "nginx", ASKED_GO_ON, {NGINX, SESSION, {"X-Original-Method", "POST"}, {"Sec-Fetch-Site", "same-origin"}}, NULL},
    {"envoy's own method", "envoy", ASKED_ORIGIN_REFUSED, {{"Host", HOST}, SESSION, {"X-Original-Method", "GET"}, {"Sec-Fetch-Site", "cross-site"}}, "POST"},
};
/* clang-format on */

static void refuses_what_needs_no_session_to_be_refused(void **state)
{
	(void)state;
	struct host_names names;
	struct error err;
	assert_int_equal(host_names_init(&names, "https://app.example", "claws.example", &err), 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct asked asked;
		char agent[AGENT_ID_LEN + 1] = "";
		asked_init(&asked);
		for (const struct pair *p = cases[i].headers; p->name; p++)
			asked_add(&asked, p->name, p->value);
		const struct asked_dialect *dialect = asked_dialect(cases[i].dialect);
		const char *method = cases[i].method ? cases[i].method : "GET";
		if (asked_judge(&asked, dialect, &names, method, agent) != cases[i].verdict)
			fail_msg("%s", cases[i].name);
		if (cases[i].verdict == ASKED_GO_ON)
			assert_string_equal(agent, ID);
	}
}

static void the_agents_own_cookie_goes_before_the_consoles(void **state)
{
	(void)state;
	struct asked asked;
	asked_init(&asked);
	asked_add(&asked, "Cookie", "__Host-multiclaw=console; x=y; __Host-multiclaw-agent=agent");
	assert_int_equal(asked_session(&asked).len, 5);
	assert_memory_equal(asked_session(&asked).text, "agent", 5);
	assert_string_equal(asked.cookies.forward, "x=y");
}

static void knows_three_dialects(void **state)
{
	(void)state;
	assert_non_null(asked_dialect("nginx"));
	assert_non_null(asked_dialect("traefik"));
	assert_non_null(asked_dialect("envoy"));
	assert_null(asked_dialect("Nginx"));
	assert_null(asked_dialect(""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(refuses_what_needs_no_session_to_be_refused),
	    cmocka_unit_test(the_agents_own_cookie_goes_before_the_consoles),
	    cmocka_unit_test(knows_three_dialects),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
