/* store_key - the names of objects in the storage. Made and checked here alone. */
#ifndef PROTO_STORE_KEY_H
#define PROTO_STORE_KEY_H

#include <stddef.h>

#include "proto/store.h"

/* agents/<agent>/<wallet>/<period>/<name>. name "": the folder, with its last slash. False: one of them is not what it should be. */
bool store_key_of_period(char key[STORE_KEY_MAX + 1], const char *agent, const char *wallet, uint64_t period, const char *name);
/* agents/<agent>/handed-over/<name> */
bool store_key_handed_over(char key[STORE_KEY_MAX + 1], const char *agent, const char *name);
/* Of the two forms, with a name; is_folder: without one, ending with a slash. len without the NUL: a NUL within is refused. */
bool store_key_is_good(const char *key, size_t len, bool is_folder);

#endif
