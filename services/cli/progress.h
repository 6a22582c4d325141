/* progress - how far something long is, for people: on a terminal a line of standard error that is written over and over, elsewhere nothing. */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#define PROGRESS_SIZE_MAX 16
#define PROGRESS_TEXT_MAX 96

/* "512 B", "1.2 MiB". Returns buf. */
char *progress_size(uint64_t bytes, char buf[PROGRESS_SIZE_MAX]);
/* "saving [#####---------------]  25 %, 1.0 MiB of 4.0 MiB"; without a bar if it is not known how much there is. doing as in GET
 * /v1/agent/snapshots. Returns buf. */
char *progress_text(const char *doing, uint64_t done, uint64_t total, char buf[PROGRESS_TEXT_MAX]);

bool progress_is_seen(void); /* standard error is a terminal */
/* Writes over the line before; text is ours, never foreign. "": takes it away. */
void progress_show(const char *text);

#endif
