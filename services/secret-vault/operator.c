/* vault.state, unseal, rotate, destroy_owner, reset_breaker - what operators do to the vault as a whole. */
#include <stdlib.h>
#include <string.h>

#include "common/scoped.h"
#include "services/secret-vault/act.h"
#include "services/secret-vault/eraser.h"
#include "services/secret-vault/handover.h"
#include "services/secret-vault/opening.h"
#include "services/secret-vault/rotation.h"

void vault_state(struct vault *self, const struct vault_state_req *req, struct bus_request *request)
{
	act_reply_state(act_new(self, request, req, ""));
}

/* ---- unseal */

static void on_opened(void *arg, const struct error *err)
{
	struct act *act = arg;
	if (err)
		act_fail(act, err);
	else
		act_reply_state(act);
}

void vault_unseal(
    struct vault *self, const struct vault_unseal_req *req, struct bus_request *request)
{
	struct act *act = act_new(self, request, req, "unseal");
	size_t len = strlen(req->passphrase);
	struct secret *passphrase = len > 0 ? secret_new(req->passphrase, len) : NULL;
	opening_again(self->opening, passphrase, req->adopt, act->by, on_opened, act);
}

/* ---- rotate */

/* A new salt makes another key of the same passphrase: that it is another passphrase is looked at apart. */
static int check_is_new(const struct act *act, const struct keyset *keyset, struct error *err)
{
	if (!keyset->now.has_kdf)
		return 0;
	struct master *old = master_derive(act->passphrase, &keyset->now.kdf, err);
	if (!old)
		return -1;
	bool is_same = memcmp(master_id(old), keyset_key_id(&keyset->now), KEY_ID_LEN) == 0;
	master_destroy(&old);
	return is_same ? error_refuse(err, ERR_CONFLICT, "key_unchanged",
			     "the next passphrase is the one in use")
		       : 0;
}

static int derive_next(
    struct act *act, struct desk *desk, struct master_kdf *kdf_r, struct error *err)
{
	struct keyset keyset;
	if (db_begin(desk->db, false, err) != 0)
		return -1;
	int result = keyset_read(desk->db, &keyset, err);
	db_rollback(desk->db);
	if (result != 0 || check_is_new(act, &keyset, err) != 0)
		return -1;
	master_kdf_new(kdf_r);
	act->next = master_derive(act->passphrase, kdf_r, err);
	return act->next ? 0 : -1;
}

static int begin_rotation(void *arg, struct desk *desk, struct error *err)
{
	struct act *act = arg;
	struct master_kdf kdf;
	if (act->passphrase && derive_next(act, desk, &kdf, err) != 0)
		return -1;
	if (db_begin(desk->db, true, err) != 0)
		return -1;
	if (rotation_begin(desk, act->next, act->passphrase ? &kdf : NULL, act->by, err) != 0) {
		db_rollback(desk->db);
		return -1;
	}
	if (db_commit(desk->db, err) != 0)
		return -1;
	master_destroy(&desk->next);
	desk->next = act->next;
	act->next = NULL;
	return 0;
}

/* Whether it was reloaded at once or will be by the next survey: the change is under way. */
static void on_reloaded(void *arg, const struct error *err)
{
	(void)err;
	act_reply_state(arg);
}

static void on_rotation_begun(void *arg, const struct error *err)
{
	struct act *act = arg;
	if (err || act->vault->is_stopping)
		act_fail(act, err ? err : &(struct error){ERR_UNAVAILABLE, 1, "", "stopping"});
	else
		opening_again(act->vault->opening, NULL, false, "", on_reloaded, act);
}

static int take_next(struct act *act, const struct vault_rotate_req *req, struct error *err)
{
	struct vault *vault = act->vault;
	size_t len = strlen(req->passphrase);
	if (strcmp(vault->key_source, "passphrase") != 0) {
		act->next = opening_read_next(vault, err);
		return act->next ? 0 : -1;
	}
	if (len == 0)
		return error_refuse(err, ERR_INVALID, "passphrase_missing",
		    "the master key comes from a passphrase: the next one is needed");
	act->passphrase = secret_new(req->passphrase, len);
	return 0;
}

void vault_rotate(
    struct vault *self, const struct vault_rotate_req *req, struct bus_request *request)
{
	struct act *act = act_new(self, request, req, "rotate");
	struct error err;
	if (act_needs_keys(act, &err) != 0) {
		act_fail(act, &err);
	} else if (self->next_key_id[0]) {
		rotation_go_on(self->rotation);
		act_reply_state(act);
	} else if (take_next(act, req, &err) != 0) {
		act_fail(act, &err);
	} else {
		worker_do_alone(self->worker, begin_rotation, on_rotation_begun, act);
	}
}

/* ---- destroy_owner */

struct owned {
	const char *wallet;
	struct store_period *row;
	size_t len;
};

static bool add_owned(void *arg, const struct store_period *row)
{
	struct owned *owned = arg;
	if (row->state == PERIOD_DESTROYED || strcmp(row->period.wallet, owned->wallet) != 0)
		return true;
	owned->row = reallocarray(owned->row, owned->len + 1, sizeof(owned->row[0]));
	bug_if(!owned->row);
	owned->row[owned->len++] = *row;
	return true;
}

static int destroy(void *arg, struct desk *desk, struct error *err)
{
	struct act *act = arg;
	const struct vault_destroy_owner_req *req = act->req;
	struct owned owned = {.wallet = req->wallet};
	char detail[PERIOD_TEXT_MAX + 1];
	int result = store_periods_of(desk->db, req->asset, add_owned, &owned, err);
	for (size_t i = 0; result == 0 && i < owned.len; i++)
		result = eraser_work(desk, &owned.row[i], act->by, "an operator's word", err);
	if (result == 0)
		result = handover_forget(desk, req->asset, req->wallet, err);
	act->count = owned.len;
	free(owned.row);
	snprintf(detail, sizeof(detail), "%s/%s", req->asset, req->wallet);
	return result == 0 ? act_note(act, desk, detail, err) : -1;
}

static void on_destroyed_and_scrubbed(void *arg, const struct error *err)
{
	struct act *act = arg;
	const struct vault_destroy_owner_req *req = act->req;
	struct vault_destroy_owner_rsp rsp = {.periods = act->count};
	if (!act->vault->is_stopping)
		eraser_release(act->vault, req->asset);
	if (err)
		act_fail(act, err);
	else
		act_reply(act, &rsp, req->asset);
}

static void on_told(void *arg, const struct error *err)
{
	struct act *act = arg;
	(void)err;
	if (act->vault->is_stopping)
		act_fail(act, &(struct error){ERR_UNAVAILABLE, 1, "", "stopping"});
	else
		eraser_scrub(act->vault, on_destroyed_and_scrubbed, act);
}

/* Of LLM keys, too: gateways forget what they have. */
static void on_destroyed(void *arg, const struct error *err)
{
	struct act *act = arg;
	const struct vault_destroy_owner_req *req = act->req;
	if (err || act->vault->is_stopping)
		act_fail(act, err ? err : &(struct error){ERR_UNAVAILABLE, 1, "", "stopping"});
	else
		process_add_event(act->vault->process, req->asset, "secret", on_told, act);
}

void vault_destroy_owner(
    struct vault *self, const struct vault_destroy_owner_req *req, struct bus_request *request)
{
	struct act *act = act_new(self, request, req, "destroy_owner");
	struct error err;
	if (act_needs_owner(act, req->asset, req->wallet, &err) != 0)
		act_fail(act, &err);
	else
		worker_do(self->worker, WORKER_WRITE, destroy, on_destroyed, act);
}

/* ---- reset_breaker */

static int reset(void *arg, struct desk *desk, struct error *err)
{
	struct act *act = arg;
	return eraser_reset(desk, err) == 0 ? act_note(act, desk, "", err) : -1;
}

static void on_reset(void *arg, const struct error *err)
{
	struct act *act = arg;
	if (err || act->vault->is_stopping)
		act_fail(act, err ? err : &(struct error){ERR_UNAVAILABLE, 1, "", "stopping"});
	else
		act_reply_state(act);
}

void vault_reset_breaker(
    struct vault *self, const struct vault_reset_breaker_req *req, struct bus_request *request)
{
	struct act *act = act_new(self, request, req, "reset_breaker");
	struct error err;
	if (act_needs_keys(act, &err) != 0)
		act_fail(act, &err);
	else
		worker_do(self->worker, WORKER_WRITE, reset, on_reset, act);
}
