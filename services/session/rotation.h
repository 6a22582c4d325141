/* rotation - keeps the signing keys up to date with their file, and tells everybody when one is retired: router's cached answers depend on it.
 *
 * A file that cannot be read or understood leaves no keys: tokens are neither good nor bad then, the answer is "unavailable" (I4).
 */
#ifndef SESSION_ROTATION_H
#define SESSION_ROTATION_H

#include <sys/stat.h>

#include "common/service.h"
#include "services/session/keys.h"

#define ROTATION_EVERY_MS 5000

struct rotation {
	struct process *process;
	char path[512];
	struct keys *keys;    /* NULL: the file is bad at the moment */
	uint64_t looked_at_s; /* when keys were last judged */
	struct stat seen;     /* of the file that was read */
	struct event *timer;
	bool must_announce, is_announcing;
};

/* Reads the file; fails as keys_read does, or if no key can sign now. */
int rotation_open(struct rotation *rotation, struct process *process, struct error *err);
/* Looks at the file every 5 s and at the end of each key. Announces once, because nobody looked while this process was not there. */
void rotation_start(struct rotation *rotation);
void rotation_stop(struct rotation *rotation);
/* Reads the file again now. */
void rotation_reload(struct rotation *rotation);

/* Borrowed until the next turn of the loop. UNAVAILABLE if the file is bad, or (signer) no key's time is now. */
const struct keys *rotation_keys(const struct rotation *rotation, struct error *err);
const struct signing_key *rotation_signer(const struct rotation *rotation, struct error *err);
bool rotation_is_ready(const struct rotation *rotation, char *why, size_t size);

#endif
