/* keys - the suite's own keys and passwords, made by `multiclaw keys`. What is in the folder (each secret 0600, the folder 0700):
 *	curve/<name>.key	pair of each daemon's role and of "operator" (common/keyring.h)
 *	curve/peers		the bus's allow-list
 *	redis/<role>.password	32 random bytes as hex; two more, of "replica" and "sentinel", are of Redis itself
 *	redis/users.acl		for Redis' aclfile: one user per role, with the keys and commands it needs and no others
 *				and "user default off resetpass ~* &* +@all": off, but with rights, because Redis 7.0 replays the
 *				transactions of its AOF (each script is one) as that user and silently drops what it may not do
 *	redis/replica.conf	for Redis' include, where it has replicas: as whom they come to their primary; made anew when the password is
 *	redis/sentinel.conf	the end of a Sentinel's configuration: as whom it comes to Redis and to the others, and who may ask it; the same
 *	jwt.keys		session's signing keys (services/session/keys.h)
 *	vault.key		secret-vault's master key (services/secret-vault/master.h)
 */
#ifndef CLI_KEYS_H
#define CLI_KEYS_H

#include "common/error.h"

/* Makes what is missing, prints a line for each file made, touches nothing that is there. Refuses where a new secret would not fit a list that
 * is there already (a new key that curve/peers does not name, a new password that users.acl does not know), as in a folder that an older version
 * made, before the suite had all of today's roles: both lists have to be moved away, and are made anew from the keys that stay. */
int keys_init(const char *folder, struct error *err);

/* Adds a signing key that is used from 60 s from now, and ends the others 7 days and 1 h after that, when every session they signed is over. */
int keys_rotate(const char *folder, struct error *err);
/* Removes a signing key at once: every session that it signed ends. ERR_NOT_FOUND; ERR_CONFLICT if it is the only one. */
int keys_retire(const char *folder, const char *kid, struct error *err);

#endif
