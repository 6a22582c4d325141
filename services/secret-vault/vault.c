#include "services/secret-vault/vault.h"

#include <errno.h>
#include <libgen.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/log.h"
#include "common/scoped.h"
#include "services/secret-vault/answers.h"
#include "services/secret-vault/eraser.h"
#include "services/secret-vault/holder.h"
#include "services/secret-vault/memory.h"
#include "services/secret-vault/opening.h"
#include "services/secret-vault/rotation.h"
#include "services/secret-vault/survey.h"

#define JOBS_MAX 8192
#define SQLITE "sqlite:"

/* clang-format off */
#define ROW(name, type, member, least, most, value, doc) \
	{"MULTICLAW_VAULT_" name, SETTING_##type, offsetof(struct vault, member), least, most, value, doc}
/* clang-format on */
const struct setting vault_settings[] = {
    ROW("STORE", STR, store_at, 8, 512, SQLITE "vault/vault.db",
	"Where sealed records are kept: sqlite:<path>, or postgres:<connection string>, which "
	"several vaults may share."),
    ROW("MARKS", PATH, marks_at, 1, 256, "vault-marks/marks.db",
	"The highest version seen of every record, to notice old bytes put back; must not be in "
	"the backup of the store."),
    ROW("KEY_SOURCE", STR, key_source, 1, 16, "file",
	"Where the master key comes from: file, credential (of systemd) or passphrase."),
    ROW("KEY", PATH, key_path, 0, 256, "",
	"File of the master key (empty: vault.key in MULTICLAW_KEYS), or the credential's name "
	"(empty: vault.key)."),
    ROW("NEXT_KEY", PATH, next_key_path, 0, 256, "",
	"File of the master key that a rotation leads to; empty: the file above and .next."),
    ROW("PROVIDERS", PATH, providers_path, 1, 256, "providers.json",
	"The LLM providers that are known, and their environment variables."),
    ROW("ERASE_EVERY_S", UINT, erase_every_s, 1, 3600, "5",
	"How often it is asked whether a transfer is finalized, so that the old owner's data key "
	"may be destroyed."),
    ROW("ERASURES_PER_HOUR", UINT, erasures_per_hour, 1, 10000, "50",
	"More data keys than these are not destroyed within an hour without an operator's word."),
    ROW("PUTS_PER_MINUTE", UINT, puts_per_minute, 1, 100000000, "600",
	"Secrets stored or deleted a minute, of one asset; as many grants, as many pages of "
	"files, as many snapshots, and as many hand-overs."),
};
const size_t vault_nsettings = ARRAY_LEN(vault_settings);

int vault_open(void *arg, struct error *err)
{
	struct vault *self = arg;
	memory_guard(self->process->sanitized);
	self->providers = providers_read(self->providers_path, err);
	if (!self->providers)
		return -1;
	return opening_read_keys(self, err);
}

/* The folder that path is in, for its owner alone. One level: the state folder itself is the operator's to make. */
static int make_folder_of(const char *path, struct error *err)
{
	scoped_free char *copy = strdup(path);
	bug_if(!copy);
	const char *folder = dirname(copy);
	if (mkdir(folder, 0700) != 0 && errno != EEXIST)
		return error_set(err, ERR_INVALID, "%s: %s", folder, strerror(errno));
	return 0;
}

static int make_folders(const struct vault *self, struct error *err)
{
	size_t prefix = strlen(SQLITE);
	if (strncmp(self->store_at, SQLITE, prefix) == 0 &&
	    make_folder_of(self->store_at + prefix, err) != 0)
		return -1;
	return make_folder_of(self->marks_at, err);
}

int vault_start(void *arg, struct error *err)
{
	struct vault *self = arg;
	struct process *process = self->process;
	const struct worker_config config = {
	    .store = self->store_at, .highwater = self->marks_at, .queued_max = JOBS_MAX};
	if (make_folders(self, err) != 0)
		return -1;
	self->worker = worker_new(process->base, &config, process->metrics, err);
	if (!self->worker)
		return -1;
	self->answers = answers_new();
	self->sessions = process_client(process, ROLE_SESSION);
	self->auths = process_client(process, ROLE_AUTH);
	self->oracles = process_client(process, ROLE_ORACLE);
	self->holder = holder_new(self);
	self->eraser = eraser_new(self);
	self->rotation = rotation_new(self);
	self->survey = survey_new(self);
	self->opening = opening_new(self);
	return 0;
}

/* What is under way ends first: calls to others with an error, jobs of the worker done. Answers of Redis may come after all of this: their callbacks look
 * whether what they belong to is still there. */
void vault_stop(void *arg)
{
	struct vault *self = arg;
	self->is_stopping = true;
	vault_set_state(self, VAULT_OPENING, "stopping");
	bus_client_destroy(&self->sessions);
	bus_client_destroy(&self->auths);
	bus_client_destroy(&self->oracles);
	worker_destroy(&self->worker);
	opening_destroy(&self->opening);
	survey_destroy(&self->survey);
	rotation_destroy(&self->rotation);
	eraser_destroy(&self->eraser);
	holder_destroy(&self->holder);
	answers_destroy(&self->answers);
	master_destroy(&self->key_file);
	master_destroy(&self->next_key_file);
	secret_destroy(&self->grant_key);
	secret_destroy(&self->next_grant_key);
	providers_destroy(&self->providers);
}

void vault_on_event(void *arg, const struct ledger_event *event)
{
	struct vault *self = arg;
	if (self->is_stopping)
		return;
	holder_mark(self->holder, event);
	if (strcmp(event->asset, "*") == 0)
		holder_look_at_all(self->holder);
	else
		holder_look_at(self->holder, event->asset);
}

void vault_on_heard(void *arg, const struct ledger_event *event)
{
	struct vault *self = arg;
	if (!self->is_stopping)
		holder_mark(self->holder, event);
}

/* Another history: whatever was held in the last one is noted anew, and looked at, before anything is served. */
void vault_on_restart(void *arg, const char *history, struct event_id head)
{
	struct vault *self = arg;
	(void)history;
	if (self->is_stopping)
		return;
	holder_unmark(self->holder, head);
	if (self->state == VAULT_OPEN)
		vault_set_state(self, VAULT_CATCHING_UP, "a new history of events");
	holder_look_at_all(self->holder);
}

static const char *const state_names[] = {
#define VAULT_STATE_NAME(name, text) [VAULT_##name] = (text),
    VAULT_STATES(VAULT_STATE_NAME)
#undef VAULT_STATE_NAME
};

const char *vault_state_name(enum vault_state state)
{
	return state_names[state];
}

void vault_set_state(struct vault *vault, enum vault_state state, const char *why)
{
	bool is_new = vault->state != state || strcmp(vault->why, why) != 0;
	vault->state = state;
	snprintf(vault->why, sizeof(vault->why), "%s", why);
	if (!is_new || vault->is_stopping)
		return;
	if (state == VAULT_FOREIGN || state == VAULT_UNMARKED)
		log_error("the vault serves nothing", "state", state_names[state], "why", why);
	else
		log_info("vault", "state", state_names[state], "why", why);
}

int vault_serves(const struct vault *vault, struct error *err)
{
	const struct follower *follower = vault->process->follower;
	if (vault->state != VAULT_OPEN || vault->is_stopping)
		error_refuse(err, ERR_UNAVAILABLE, "vault_sealed", "the vault is %s: %s",
		    state_names[vault->state], vault->why);
	else if (!follower_has_lease(follower))
		error_refuse(err, ERR_UNAVAILABLE, "service_unavailable", "no lease");
	else if (follower_chain_age_ms(follower) > vault->process->settings.chain_grace_s * 1000)
		error_refuse(err, ERR_UNAVAILABLE, "chain_unavailable",
		    "the chain was not read for too long");
	else
		return 0;
	/* the other states end by a person's hand */
	bool is_brief = vault->state == VAULT_OPEN || vault->state == VAULT_OPENING ||
			vault->state == VAULT_CATCHING_UP;
	err->retry_after_s = is_brief ? 1 : 0;
	return -1;
}

bool vault_is_open(void *arg, char *why, size_t size)
{
	const struct vault *self = arg;
	char head[2 * AUDIT_HASH_LEN + 1];
	if (self->state != VAULT_OPEN)
		snprintf(why, size, "%s: %s", state_names[self->state], self->why);
	else
		snprintf(why, size, "open; audit head %llu %s", (unsigned long long)self->head_seq,
		    sodium_bin2hex(head, sizeof(head), self->head, sizeof(self->head)));
	return self->state == VAULT_OPEN;
}

bool vault_stores(void *arg, char *why, size_t size)
{
	const struct vault *self = arg;
	return self->worker && worker_is_ready(self->worker, why, size);
}

bool vault_erases(void *arg, char *why, size_t size)
{
	const struct vault *self = arg;
	bool is_tripped = self->eraser && eraser_is_tripped(self->eraser);
	snprintf(why, size, "%s",
	    is_tripped ? "too many data keys were to be destroyed: `multiclaw vault reset-breaker`"
		       : "within its limit");
	return !is_tripped;
}

bool vault_reaches_peers(void *arg, char *why, size_t size)
{
	const struct vault *self = arg;
	size_t sessions = self->sessions ? bus_client_ready(self->sessions) : 0;
	size_t auths = self->auths ? bus_client_ready(self->auths) : 0;
	size_t oracles = self->oracles ? bus_client_ready(self->oracles) : 0;
	snprintf(why, size, "%zu session, %zu auth, %zu chain-oracle replicas answer", sessions,
	    auths, oracles);
	return sessions > 0 && auths > 0 && oracles > 0;
}
