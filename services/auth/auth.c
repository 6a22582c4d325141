#include "services/auth/auth.h"

#include <stdio.h>
#include <string.h>

/* clang-format off */
#define ROW(name, member, least, most, value, doc) \
	{"MULTICLAW_" name, SETTING_UINT, offsetof(struct auth, member), least, most, value, doc}
/* clang-format on */
const struct setting auth_settings[] = {
    ROW("CHALLENGES_PER_MINUTE", challenges_per_minute, 1, 100000000, "30",
	"Sign-in texts a minute for one wallet from one client address (IPv4, or IPv6 /64); a "
	"minute's worth may come at once."),
    ROW("CHALLENGES_PER_MINUTE_PER_ADDRESS", challenges_per_minute_per_address, 1, 100000000, "120",
	"Sign-in texts a minute from one client address, whatever the wallet."),
    ROW("CHALLENGES_LIVE", challenges_live, 10, 100000000, "50000",
	"Sign-in texts that may wait for their signature at one time, in all; each takes about 1 "
	"KB of Redis."),
    ROW("SIGN_INS_PER_MINUTE_PER_WALLET", sign_ins_per_minute_per_wallet, 1, 100000000, "30",
	"Sign-ins and acts a minute of one wallet; only good signatures count, so nobody can use "
	"up another's."),
    ROW("ASSETS_PER_MINUTE_PER_ADDRESS", assets_per_minute_per_address, 1, 100000000, "120",
	"Questions what a wallet owns, a minute from one client address."),
};
const size_t auth_nsettings = ARRAY_LEN(auth_settings);

int auth_open(void *arg, struct error *err)
{
	struct auth *self = arg;
	return origin_parse(self->process->settings.public_url, &self->origin, err);
}

int auth_start(void *arg, struct error *err)
{
	static const char *const outcomes[AUTH_NOUTCOMES] = {
#define AUTH_LABEL(name) "outcome=\"" #name "\"",
	    AUTH_OUTCOMES(AUTH_LABEL)
#undef AUTH_LABEL
	};
	struct auth *self = arg;
	struct metrics *metrics = self->process->metrics;
	(void)err;
	for (size_t i = 0; i < AUTH_NOUTCOMES; i++) {
		self->sign_ins[i] = metrics_counter(metrics, "multiclaw_sign_ins_total",
		    "Sign-ins by how they ended.", outcomes[i]);
		self->acts[i] = metrics_counter(metrics, "multiclaw_acts_total",
		    "Confirmations of an act by how they ended.", outcomes[i]);
	}
	static const char name[] = "multiclaw_challenges_total",
			  help[] = "Sign-in texts asked for.";
	self->challenges_issued = metrics_counter(metrics, name, help, "outcome=\"issued\"");
	self->challenges_limited = metrics_counter(metrics, name, help, "outcome=\"rate_limited\"");
	self->oracle = process_client(self->process, ROLE_ORACLE);
	self->session = process_client(self->process, ROLE_SESSION);
	return 0;
}

/* Calls still on their way end with an error here, their requests with them. */
void auth_stop(void *arg)
{
	struct auth *self = arg;
	bus_client_destroy(&self->oracle);
	bus_client_destroy(&self->session);
}

static bool is_reachable(const struct bus_client *client, char *why, size_t size)
{
	size_t ready = client ? bus_client_ready(client) : 0;
	snprintf(why, size, "%zu replicas answer", ready);
	return ready > 0;
}

bool auth_oracle_is_ready(void *arg, char *why, size_t size)
{
	const struct auth *self = arg;
	return is_reachable(self->oracle, why, size);
}

bool auth_session_is_ready(void *arg, char *why, size_t size)
{
	const struct auth *self = arg;
	return is_reachable(self->session, why, size);
}

struct ledger_limit auth_limit(const char *kind, const char *key, uint64_t per_minute)
{
	return (struct ledger_limit){
	    .kind = kind, .key = key, .per_minute = per_minute, .burst = per_minute};
}

void auth_limited(uint64_t wait_ms, struct error *err)
{
	uint64_t seconds = (wait_ms + 999) / 1000;
	error_refuse(
	    err, ERR_BUSY, "rate_limited", "too many, next in %llu s", (unsigned long long)seconds);
	err->retry_after_s = seconds > 86400 ? 86400 : (unsigned)seconds;
}

enum auth_outcome auth_outcome(const char *reason)
{
	static const char *const names[AUTH_NOUTCOMES] = {
#define AUTH_NAME(name) #name,
	    AUTH_OUTCOMES(AUTH_NAME)
#undef AUTH_NAME
	};
	for (int i = 0; i < AUTH_NOUTCOMES; i++) {
		if (strcmp(names[i], reason) == 0)
			return (enum auth_outcome)i;
	}
	return AUTH_failed;
}

void auth_chain_error(const struct error *from, struct error *err)
{
	unsigned retry_after_s = from->retry_after_s ? from->retry_after_s : 1;
	if (from->reason[0])
		*err = *from;
	else
		error_refuse(
		    err, ERR_UNAVAILABLE, "chain_unavailable", "chain-oracle: %s", from->text);
	err->retry_after_s = retry_after_s;
}
