#include "services/session/session.h"

#include <stdio.h>
#include <string.h>

#include "common/clock.h"

const struct setting session_settings[] = {
    {"MULTICLAW_OPENINGS_PER_MINUTE", SETTING_UINT, offsetof(struct session, openings_per_minute),
	1, 100000000, "60",
	"Ways onto the agent's own origin that are opened a minute, of one asset; a minute's worth "
	"may come at once."},
};
const size_t session_nsettings = ARRAY_LEN(session_settings);

int session_open(void *arg, struct error *err)
{
	struct session *self = arg;
	if (origin_parse(self->process->settings.public_url, &self->origin, err) != 0)
		return -1;
	return rotation_open(&self->rotation, self->process, err);
}

int session_start(void *arg, struct error *err)
{
	struct session *self = arg;
	struct metrics *metrics = self->process->metrics;
	(void)err;
	static const char mints[] = "multiclaw_sessions_minted_total",
			  checks[] = "multiclaw_session_checks_total";
	static const char mints_help[] = "Sessions asked for.",
			  checks_help[] = "Tokens judged by a look in the ledger.";
	self->minted = metrics_counter(metrics, mints, mints_help, "outcome=\"good\"");
	self->refused = metrics_counter(metrics, mints, mints_help, "outcome=\"refused\"");
	self->good = metrics_counter(metrics, checks, checks_help, "outcome=\"good\"");
	self->bad = metrics_counter(metrics, checks, checks_help, "outcome=\"refused\"");
	rotation_start(&self->rotation);
	enforced_start(self);
	return 0;
}

void session_stop(void *arg)
{
	struct session *self = arg;
	enforced_stop(self);
	rotation_stop(&self->rotation);
}

void session_reload(void *arg)
{
	struct session *self = arg;
	rotation_reload(&self->rotation);
}

bool session_keys_are_ready(void *arg, char *why, size_t size)
{
	const struct session *self = arg;
	return rotation_is_ready(&self->rotation, why, size);
}

int session_read_token(
    const struct session *self, const char *token, struct token_claims *claims_r, struct error *err)
{
	const struct keys *keys = rotation_keys(&self->rotation, err);
	if (!keys)
		return -1;
	return token_parse(keys, self->origin.text, token, clock_unix_ms() / 1000, claims_r, err);
}

void session_tell(struct session *self, const struct ledger_ended *ended, const char *asset,
    struct session_end_rsp *rsp_r)
{
	*rsp_r = (struct session_end_rsp){0};
	snprintf(rsp_r->history, sizeof(rsp_r->history), "%s", ended->history);
	rsp_r->slot = follower_chain(self->process->follower)->slot;
	if (!ended->changed)
		return;
	event_id_text(ended->event, rsp_r->event);
	process_announce(self->process, ended->history, ended->event, asset);
}
