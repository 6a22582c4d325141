#include "services/session/rotation.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"

#define ANNOUNCE_AGAIN_MS 25

static uint64_t now_s(void)
{
	return clock_unix_ms() / 1000;
}

static bool is_same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
	       a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* Sessions that outlive the key they were signed with end early; the operator should know. */
static void warn_about_the_end(const struct keys *keys)
{
	const struct signing_key *signer = keys_signer(keys, now_s());
	if (signer && signer->not_after_s < now_s() + SESSION_SECONDS)
		log_warn("the signing key ends before the sessions it signs", "kid", signer->kid);
}

/* What is in the file now; NULL and a line in the log if that is nothing good. */
static struct keys *read_file(struct rotation *rotation)
{
	struct error err;
	memset(&rotation->seen, 0, sizeof(rotation->seen));
	/* looked at before it is read: a change meanwhile is seen the next time */
	if (stat(rotation->path, &rotation->seen) != 0)
		memset(&rotation->seen, 0, sizeof(rotation->seen));
	struct keys *keys = keys_read(rotation->path, &err);
	if (!keys)
		log_error("no signing keys: every session is unavailable", "why", err.text);
	else
		warn_about_the_end(keys);
	return keys;
}

static void judge(struct rotation *rotation, struct keys *fresh)
{
	uint64_t now = now_s();
	if (rotation->keys && keys_retired(rotation->keys, rotation->looked_at_s, fresh, now)) {
		rotation->must_announce = true;
		log_audit("a signing key was retired");
	}
	if (rotation->keys != fresh)
		keys_destroy(&rotation->keys);
	rotation->keys = fresh;
	rotation->looked_at_s = now;
}

static void arm(struct rotation *rotation)
{
	uint64_t wait_ms = ROTATION_EVERY_MS, now_ms = clock_unix_ms();
	uint64_t end_s = rotation->keys ? keys_next_end(rotation->keys, now_ms / 1000) : UINT64_MAX;
	if (end_s < now_ms / 1000 + ROTATION_EVERY_MS / 1000)
		wait_ms = end_s * 1000 - now_ms;
	if (rotation->must_announce && wait_ms > ANNOUNCE_AGAIN_MS)
		wait_ms = ANNOUNCE_AGAIN_MS;
	struct timeval wait = {
	    .tv_sec = (time_t)(wait_ms / 1000), .tv_usec = (suseconds_t)(wait_ms % 1000 * 1000)};
	evtimer_add(rotation->timer, &wait);
}

static void announced(void *arg, const struct ledger_ended *out, const struct error *err)
{
	struct rotation *rotation = arg;
	rotation->is_announcing = false;
	if (err) {
		rotation->must_announce = true; /* the timer tries again */
		if (rotation->timer)
			arm(rotation);
		return;
	}
	process_announce(rotation->process, out->history, out->event, "*");
}

static void announce(struct rotation *rotation)
{
	if (!rotation->must_announce || rotation->is_announcing)
		return;
	rotation->must_announce = false;
	rotation->is_announcing = true;
	ledger_announce(rotation->process->redis, "key", announced, rotation);
}

static void look(evutil_socket_t fd, short what, void *arg)
{
	struct rotation *rotation = arg;
	struct stat now;
	(void)fd, (void)what;
	bool is_same = rotation->keys && stat(rotation->path, &now) == 0 &&
		       is_same_file(&now, &rotation->seen);
	judge(rotation, is_same ? rotation->keys : read_file(rotation));
	announce(rotation);
	arm(rotation);
}

int rotation_open(struct rotation *rotation, struct process *process, struct error *err)
{
	rotation->process = process;
	int len =
	    snprintf(rotation->path, sizeof(rotation->path), "%s/jwt.keys", process->settings.keys);
	if (len < 0 || (size_t)len >= sizeof(rotation->path))
		return error_set(err, ERR_INVALID, "MULTICLAW_KEYS is too long");
	if (stat(rotation->path, &rotation->seen) != 0)
		return error_set(err, ERR_INVALID, "%s: %s", rotation->path, strerror(errno));
	rotation->keys = keys_read(rotation->path, err);
	if (!rotation->keys)
		return -1;
	rotation->looked_at_s = now_s();
	if (!keys_signer(rotation->keys, rotation->looked_at_s))
		return error_set(err, ERR_INVALID, "%s: no key's time is now", rotation->path);
	warn_about_the_end(rotation->keys);
	return 0;
}

void rotation_start(struct rotation *rotation)
{
	rotation->timer = evtimer_new(rotation->process->base, look, rotation);
	bug_if(!rotation->timer);
	rotation->must_announce = true;
	arm(rotation);
}

void rotation_stop(struct rotation *rotation)
{
	if (rotation->timer)
		event_free(rotation->timer);
	rotation->timer = NULL;
	keys_destroy(&rotation->keys);
}

void rotation_reload(struct rotation *rotation)
{
	judge(rotation, read_file(rotation));
	announce(rotation);
	arm(rotation);
}

static int unavailable(struct error *err, const char *why)
{
	error_refuse(err, ERR_UNAVAILABLE, "service_unavailable", "%s", why);
	err->retry_after_s = ROTATION_EVERY_MS / 1000;
	return -1;
}

const struct keys *rotation_keys(const struct rotation *rotation, struct error *err)
{
	if (!rotation->keys)
		unavailable(err, "the file of signing keys is bad");
	return rotation->keys;
}

const struct signing_key *rotation_signer(const struct rotation *rotation, struct error *err)
{
	const struct keys *keys = rotation_keys(rotation, err);
	const struct signing_key *signer = keys ? keys_signer(keys, now_s()) : NULL;
	if (keys && !signer)
		unavailable(err, "no signing key's time is now");
	return signer;
}

bool rotation_is_ready(const struct rotation *rotation, char *why, size_t size)
{
	struct error err;
	const struct signing_key *signer = rotation_signer(rotation, &err);
	if (!signer)
		snprintf(why, size, "%s", err.text);
	else if (rotation->must_announce || rotation->is_announcing)
		snprintf(why, size, "a change of keys is not yet announced");
	else
		snprintf(why, size, "signing with %s", signer->kid);
	return signer && !rotation->must_announce && !rotation->is_announcing;
}
