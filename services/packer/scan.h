/* scan - looks, while bytes pass, for the secrets of an agent, in every usual form: as they are, base64 at its three offsets, base64url, hex, percent-encoded, as a JSON string, UTF-16 (each of
 * these in one pass, by Hyperscan, across the boundaries of what is given at a time).
 *
 * Found: every secret whole, in each form alone, whatever it stands in. Base64 and hex also on lines of 60 characters or more; JSON also as a string within a string; UTF-16 also of base64 and hex. Of
 * long ones a part is enough (scan_values.h, scan_pem.h). In streams of gzip, zip (deflate), zstd, xz and bzip2 wherever they begin, in git's objects, packs and PDF (zlib), up to 3 in each other.
 * Not found: two forms on top of each other other than those (base64 of base64), lines under 60 characters, HTML entities, what is encrypted, cut up or transformed in another way, other compression
 * (7z, lz4, snappy, brotli, deltas of git's packs beyond what they insert), a compressed stream that is damaged before the secret, an SQLite database within a compressed file where a value goes on on another page.
 * An agent that means to hide a secret can; this is against those that end up somewhere.
 * Left out because they would be found everywhere: scan_values.h, scan_patterns.h.
 * A file that unfolds to more than 4 GiB and 64 times its size (all files together: 64 GiB and 8 times), or takes more than 160 MiB to unpack, counts as one with a find ("cannot be looked into: ...").
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
