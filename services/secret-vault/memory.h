/* memory - what a machine may do with this process's memory behind its back: swap it out, or hand it to a program when it crashes. */
#ifndef SECRET_VAULT_MEMORY_H
#define SECRET_VAULT_MEMORY_H

#include <stdbool.h>

/* Locks all memory, present and to come, where the machine lets us; else, and where cores go to a program, warns. Values of secrets are in locked
 * memory of their own besides. Before privileges are dropped. */
void memory_guard(bool sanitized);

#endif
