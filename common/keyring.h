/* keyring - the suite's CURVE keys: this process's own pair and the allow-list of everybody else's. Made by `multiclaw keys init`.
 *
 * Folder (setting MULTICLAW_KEYS):
 *	curve/<name>.key	0600: "public <Z85>" and "secret <Z85>" lines; name is a role ("auth") or an operator's file
 *	curve/peers		0644: one "<role[+role]> <Z85 public key>" a line, '#' comments; several keys of a role are allowed (rotation)
 * The allow-list is read again when the file changes (looked at every second); it is asked per message, so a removed key is out at once.
 */
#ifndef COMMON_KEYRING_H
#define COMMON_KEYRING_H

#include "common/error.h"
#include "common/role.h"

#define Z85_KEY_LEN 40

struct keyring;

/* own: the file name without ".key" of our own pair. Caller owns the result. Refuses a key file others can read. */
struct keyring *keyring_open(const char *folder, const char *own, struct error *err);
void keyring_destroy(struct keyring **keyring);

/* Roles of a public key (32 raw bytes, or Z85 text); 0: not listed. */
unsigned keyring_roles(const struct keyring *keyring, const uint8_t key[32]);
unsigned keyring_roles_z85(const struct keyring *keyring, const char *z85);
/* Public key of the first entry that has this role alone; NULL if none. Borrowed until the next reload. */
const char *keyring_server_key(const struct keyring *keyring, enum role role);
/* The same for any entry whose only role is one of roles, in the file's order; turn counts round and round (during a rotation a server has
 * one of several keys). */
const char *keyring_server_key_at(const struct keyring *keyring, unsigned roles, size_t turn);
const char *keyring_own_public(const struct keyring *keyring);
const char *keyring_own_secret(const struct keyring *keyring); /* Z85; for zmq_setsockopt only */
/* Looks whether the allow-list file changed and reads it again; a file that cannot be read or parsed empties the list (fail closed) and
 * logs it. Returns true if it changed. */
bool keyring_refresh(struct keyring *keyring);

#endif
