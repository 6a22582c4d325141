/* scan - looks, while bytes pass, for the secrets of an agent, in every usual form: as they are, base64 at its three offsets, base64url, hex, percent-encoded, as a JSON string, UTF-16 (each of
 * these in one pass, by Hyperscan, across the boundaries of what is given at a time).
 */
#ifndef PACKER_SCAN_H
#define PACKER_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#define SCAN_SECRET_MIN 8 /* bytes: shorter ones would be found everywhere */
#define SCAN_WHAT_MAX 96

struct scanner;
/* files: memfd of what the agent has as /run/secrets (proto/warden.h, beside START): the values in them are the secrets. What is configuration and no secret (the list of hosts, ...) is left
 * out. Caller owns the result; NULL with err. */
struct scanner *scanner_new(int files, struct error *err);
void scanner_destroy(struct scanner **scanner);
size_t scanner_patterns(const struct scanner *scanner);

struct scan;                                      /* one stream: a file, a member, a value */
struct scan *scan_begin(struct scanner *scanner); /* caller owns the result */
/* False: found; what_r is kind/name of the secret and how it was encoded, never its value. */
bool scan_bytes(struct scan *scan, const void *bytes, size_t len, char what_r[SCAN_WHAT_MAX]);
bool scan_end(struct scan **scan, char what_r[SCAN_WHAT_MAX]);

/* A whole file as the archive gets it: what is in it, what a gzip member or another compressed stream in it unfolds to (nested too, bounded), and, of an SQLite file, the values of its rows. Read by fd
 * (seekable). False: found. */
#define SCAN_IN_NAME ", in its name"
bool scan_file(struct scanner *scanner, int fd, const char *name, char what_r[SCAN_WHAT_MAX]);
/* The secret is in the file's name, which is not to be told then. */
bool scan_is_in_name(const char *what);

#endif
