#include "services/secret-vault/opening.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/scoped.h"
#include "services/secret-vault/holder.h"
#include "services/secret-vault/rotation.h"

#define AGAIN_MS 1000
/* Grants live for 30 s: those made just before a change of the master key are good after it. */
#define OLD_GRANTS_MS 60000

struct opening {
	struct vault *vault;
	struct event *again, *forget;
	bool is_busy;
};
struct job {
	struct vault *vault;
	struct opening_try attempt;
	opening_done done; /* may be NULL */
	void *arg;
};

/* ---- key files */

/* Where the key files are. The next one is beside the one in use. */
static bool paths_of(const struct vault *vault, char **path_r, char **next_r, struct error *err)
{
	const char *name = vault->key_path, *folder = vault->process->settings.keys;
	bool is_credential = strcmp(vault->key_source, "credential") == 0;
	int len;
	if (is_credential) {
		folder = getenv("CREDENTIALS_DIRECTORY");
		if (!folder) {
			error_set(err, ERR_INVALID,
			    "MULTICLAW_VAULT_KEY_SOURCE is credential, but CREDENTIALS_DIRECTORY "
			    "is not set");
			return false;
		}
	}
	if (!name[0] || is_credential)
		len = asprintf(path_r, "%s/%s", folder, name[0] ? name : "vault.key");
	else
		len = asprintf(path_r, "%s", name);
	bug_if(len < 0);
	if (vault->next_key_path[0])
		len = asprintf(next_r, "%s", vault->next_key_path);
	else
		len = asprintf(next_r, "%s.next", *path_r);
	bug_if(len < 0);
	return true;
}

int opening_read_keys(struct vault *vault, struct error *err)
{
	scoped_free char *path = NULL, *next = NULL;
	const char *source = vault->key_source;
	if (strcmp(source, "passphrase") == 0)
		return 0;
	if (strcmp(source, "file") != 0 && strcmp(source, "credential") != 0)
		return error_set(err, ERR_INVALID,
		    "MULTICLAW_VAULT_KEY_SOURCE is file, credential or passphrase");
	if (!paths_of(vault, &path, &next, err))
		return -1;
	master_destroy(&vault->key_file);
	master_destroy(&vault->next_key_file);
	vault->key_file = master_read_file(path, err);
	if (!vault->key_file)
		return -1;
	if (access(next, F_OK) != 0)
		return 0;
	vault->next_key_file = master_read_file(next, err);
	return vault->next_key_file ? 0 : -1;
}

struct master *opening_read_next(const struct vault *vault, struct error *err)
{
	scoped_free char *path = NULL, *next = NULL;
	if (!paths_of(vault, &path, &next, err))
		return NULL;
	if (access(next, F_OK) != 0) {
		error_refuse(err, ERR_NOT_FOUND, "next_key_missing",
		    "%.120s: there is no next master key: put it there first", next);
		return NULL;
	}
	return master_read_file(next, err);
}

/* ---- a try */

static void arm(struct opening *opening)
{
	evtimer_add(opening->again, &(struct timeval){.tv_sec = AGAIN_MS / 1000});
}

/* Grants are made with the key in use; the one before it is still known for a while. */
static void take_grant_keys(struct vault *vault, struct opening_try *attempt)
{
	struct secret *old = vault->grant_key;
	bool is_same =
	    old && attempt->grant_key &&
	    secret_equal(old, secret_bytes(attempt->grant_key), secret_len(attempt->grant_key));
	if (is_same || attempt->next_grant_key || !old) {
		secret_destroy(&vault->grant_key);
		old = NULL;
	}
	if (!is_same || attempt->next_grant_key) {
		secret_destroy(&vault->next_grant_key);
		vault->next_grant_key = old ? old : attempt->next_grant_key;
		attempt->next_grant_key = NULL;
	}
	vault->grant_key = attempt->grant_key;
	attempt->grant_key = NULL;
	if (old)
		evtimer_add(
		    vault->opening->forget, &(struct timeval){.tv_sec = OLD_GRANTS_MS / 1000});
}

/* A vault that serves goes on doing so while it looks for keys, if it finds them. */
static void take(struct vault *vault, struct opening_try *attempt)
{
	bool is_up = vault->state == VAULT_OPEN || vault->state == VAULT_CATCHING_UP;
	take_grant_keys(vault, attempt);
	memcpy(vault->key_id, attempt->key_id, sizeof(vault->key_id));
	memcpy(vault->next_key_id, attempt->next_key_id, sizeof(vault->next_key_id));
	if (attempt->state == VAULT_CATCHING_UP || attempt->state == VAULT_UNMARKED) {
		master_destroy(&vault->key_file);
		master_destroy(&vault->next_key_file);
	}
	if (attempt->state == VAULT_CATCHING_UP && is_up) {
		rotation_go_on(vault->rotation);
		return;
	}
	vault_set_state(vault, attempt->state, attempt->why);
	if (attempt->state != VAULT_CATCHING_UP)
		return;
	holder_look_at_all(vault->holder);
	rotation_go_on(vault->rotation);
}

static void tried(void *arg, const struct error *err)
{
	struct job *job = arg;
	struct vault *vault = job->vault;
	vault->opening->is_busy = false;
	if (!vault->is_stopping) {
		if (!err)
			take(vault, &job->attempt);
		else if (vault->state == VAULT_OPENING)
			vault_set_state(vault, VAULT_OPENING, err->text);
		if (vault->state == VAULT_OPENING)
			arm(vault->opening);
	}
	if (job->done)
		job->done(job->arg, err);
	opening_try_wipe(&job->attempt);
	free(job);
}

static int work(void *arg, struct desk *desk, struct error *err)
{
	struct job *job = arg;
	return opening_work(&job->attempt, desk, err);
}

static void try_now(struct opening *opening, struct job *job)
{
	struct vault *vault = opening->vault;
	opening->is_busy = true;
	job->vault = vault;
	job->attempt.is_passphrase_expected = strcmp(vault->key_source, "passphrase") == 0;
	if (vault->key_file)
		job->attempt.keys[0] = master_copy(vault->key_file);
	if (vault->next_key_file)
		job->attempt.keys[1] = master_copy(vault->next_key_file);
	worker_do_alone(vault->worker, work, tried, job);
}

static struct job *job_new(void)
{
	struct job *job = calloc(1, sizeof(*job));
	bug_if(!job);
	return job;
}

/* Files of keys may have been put there since; those that the desk has need no file any more. */
static void read_again(struct vault *vault)
{
	struct error err;
	if (vault->state != VAULT_OPENING && vault->state != VAULT_UNMARKED &&
	    opening_read_keys(vault, &err) != 0)
		log_warn("cannot read the master key", "why", err.text);
}

void opening_again(struct opening *opening, struct secret *passphrase, bool adopts, const char *by,
    opening_done done, void *arg)
{
	struct error err;
	if (opening->is_busy) {
		secret_destroy(&passphrase);
		error_refuse(&err, ERR_BUSY, "vault_busy", "the vault is being opened: try again");
		if (done)
			done(arg, &err);
		return;
	}
	read_again(opening->vault);
	struct job *job = job_new();
	job->attempt.passphrase = passphrase;
	job->attempt.adopts = adopts;
	snprintf(job->attempt.by, sizeof(job->attempt.by), "%s", by);
	job->done = done;
	job->arg = arg;
	evtimer_del(opening->again);
	try_now(opening, job);
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
	struct opening *opening = arg;
	(void)fd, (void)what;
	if (!opening->is_busy && opening->vault->state == VAULT_OPENING)
		try_now(opening, job_new());
}

static void on_forget(evutil_socket_t fd, short what, void *arg)
{
	struct opening *opening = arg;
	(void)fd, (void)what;
	if (!opening->vault->next_key_id[0])
		secret_destroy(&opening->vault->next_grant_key);
}

struct opening *opening_new(struct vault *vault)
{
	struct opening *opening = calloc(1, sizeof(*opening));
	bug_if(!opening);
	opening->vault = vault;
	opening->again = evtimer_new(vault->process->base, on_again, opening);
	opening->forget = evtimer_new(vault->process->base, on_forget, opening);
	bug_if(!opening->again || !opening->forget);
	vault_set_state(vault, VAULT_OPENING, "opening the storage");
	try_now(opening, job_new());
	return opening;
}

void opening_destroy(struct opening **opening)
{
	if (!*opening)
		return;
	event_free((*opening)->again);
	event_free((*opening)->forget);
	free(*opening);
	*opening = NULL;
}
