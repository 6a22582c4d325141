#include "services/secret-vault/survey.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "services/secret-vault/eraser.h"
#include "services/secret-vault/opening.h"
#include "services/secret-vault/rotation.h"

#define HEAD_EVERY_MS 3600000
#define COUNTS_EVERY 15 /* surveys: counting looks at every period */

struct survey {
	struct vault *vault;
	struct event *timer;
	struct metric *periods, *locked, *rewrapped;
	uint64_t head_told_ms; /* by clock_boot_ms; 0: not yet */
	unsigned nsurveys;
};
struct job {
	struct vault *vault;
	bool with_counts;
	struct survey_view view;
};

static int count(struct survey_view *view, struct desk *desk, struct error *err)
{
	const struct keyset_key *next = &view->keyset.next;
	view->has_counts = true;
	if (store_count_periods(desk->db, &view->counts, err) != 0)
		return -1;
	return next->is_set
		   ? store_count_under(desk->db, keyset_key_id(next), &view->rewrapped, err)
		   : 0;
}

int survey_read(struct survey_view *view_r, struct desk *desk, bool with_counts, struct error *err)
{
	*view_r = (struct survey_view){0};
	if (keyset_read(desk->db, &view_r->keyset, err) != 0 ||
	    store_audit_head(desk->db, NULL, &view_r->head_seq, view_r->head, err) != 0 ||
	    eraser_read(desk, &view_r->is_tripped, &view_r->must_scrub, err) != 0)
		return -1;
	return with_counts ? count(view_r, desk, err) : 0;
}

static bool is_id(const struct keyset_key *key, const char *known)
{
	char id[2 * KEY_ID_LEN + 1] = "";
	if (key->is_set)
		master_id_text(keyset_key_id(key), id);
	return strcmp(id, known) == 0;
}

/* Another vault has begun or ended a change of the master key, or this one has: the desk gets the keys that count now. */
static void judge_keys(struct vault *vault, const struct keyset *keyset)
{
	if (vault->state != VAULT_OPEN && vault->state != VAULT_CATCHING_UP)
		return;
	if (!is_id(&keyset->now, vault->key_id) || !is_id(&keyset->next, vault->next_key_id))
		opening_again(vault->opening, NULL, false, "", NULL, NULL);
	else if (keyset->next.is_set)
		rotation_go_on(vault->rotation);
}

static void tell_head(struct survey *survey)
{
	const struct vault *vault = survey->vault;
	char head[2 * AUDIT_HASH_LEN + 1];
	uint64_t now = clock_boot_ms();
	if (survey->head_told_ms && now < survey->head_told_ms + HEAD_EVERY_MS)
		return;
	survey->head_told_ms = now;
	log_audit("head of the audit trail", "seq", log_u64(vault->head_seq), "head",
	    sodium_bin2hex(head, sizeof(head), vault->head, sizeof(vault->head)));
}

/* Looks come back in the order in which they were done: what went back is the store itself. */
static void take_head(struct vault *vault, const struct survey_view *view)
{
	if (view->head_seq < vault->head_seq)
		log_audit("the audit trail is shorter than it was: an older store was put back",
		    "was", log_u64(vault->head_seq), "is", log_u64(view->head_seq));
	vault->head_seq = view->head_seq;
	memcpy(vault->head, view->head, sizeof(vault->head));
}

void survey_take(struct vault *vault, const struct survey_view *view)
{
	struct survey *survey = vault->survey;
	if (vault->is_stopping)
		return;
	take_head(vault, view);
	if (view->has_counts) {
		metric_set(survey->periods, (double)view->counts.periods);
		metric_set(survey->locked, (double)view->counts.locked);
		metric_set(survey->rewrapped, (double)view->rewrapped);
	}
	eraser_take(vault->eraser, view->is_tripped, view->must_scrub);
	judge_keys(vault, &view->keyset);
	if (vault->state == VAULT_OPEN)
		tell_head(survey);
}

static int work(void *arg, struct desk *desk, struct error *err)
{
	struct job *job = arg;
	return survey_read(&job->view, desk, job->with_counts, err);
}

static void arm(struct survey *survey)
{
	evtimer_add(survey->timer, &(struct timeval){.tv_sec = SURVEY_EVERY_MS / 1000});
}

static void done(void *arg, const struct error *err)
{
	struct job *job = arg;
	struct vault *vault = job->vault;
	if (!err)
		survey_take(vault, &job->view);
	if (!vault->is_stopping)
		arm(vault->survey);
	free(job);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct survey *survey = arg;
	(void)fd, (void)what;
	if (survey->vault->state == VAULT_OPENING) { /* there may be no tables yet */
		arm(survey);
		return;
	}
	struct job *job = calloc(1, sizeof(*job));
	bug_if(!job);
	job->vault = survey->vault;
	job->with_counts = survey->nsurveys++ % COUNTS_EVERY == 0;
	worker_do(survey->vault->worker, WORKER_READ, work, done, job);
}

struct survey *survey_new(struct vault *vault)
{
	struct metrics *metrics = vault->process->metrics;
	struct survey *survey = calloc(1, sizeof(*survey));
	bug_if(!survey);
	survey->vault = vault;
	survey->timer = evtimer_new(vault->process->base, on_timer, survey);
	bug_if(!survey->timer);
	survey->periods = metrics_gauge(
	    metrics, "multiclaw_vault_periods", "Ownership periods that have a data key.", NULL);
	survey->locked = metrics_gauge(metrics, "multiclaw_vault_locked",
	    "Of them sealed, because somebody else was seen to own the asset.", NULL);
	survey->rewrapped = metrics_gauge(metrics, "multiclaw_vault_rewrapped",
	    "Of them under the next master key, while it is being changed.", NULL);
	arm(survey);
	return survey;
}

void survey_destroy(struct survey **survey)
{
	if (!*survey)
		return;
	event_free((*survey)->timer);
	free(*survey);
	*survey = NULL;
}
