/* roots - paths below /data, one after the other, each with its NUL and an empty one at the end (proto/warden.h): what is saved, what is left out, what is handed over. */
#ifndef SANDBOX_ROOTS_H
#define SANDBOX_ROOTS_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/warden.h"

#define ROOT_MAX 255

/* "notes", "/data/notes/": "notes". False: not below /data. root_r has ROOT_MAX + 1. */
bool root_parse(const char *text, size_t len, char *root_r);
/* Between any of separators; "#" begins a comment where a line ends it. False: line_r says which one is none, or one too many. */
bool roots_parse(const char *text, size_t len, const char *separators,
    char roots_r[WARDEN_ROOTS_BYTES], unsigned *line_r);
/* False: no room for it. */
bool roots_add(char roots[WARDEN_ROOTS_BYTES], const char *root);
size_t roots_count(const char *roots);

#endif
