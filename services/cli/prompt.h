/* prompt - a secret from whoever runs the command: from standard input, or typed unseen at the terminal. Never from the command line, which every user of
 * the machine can read. */
#ifndef CLI_PROMPT_H
#define CLI_PROMPT_H

#include "common/secret.h"

/* A terminal's line ends at 4,096 bytes without saying so: what may have been cut is refused. */
#define PROMPT_TYPED_MAX 4000

/* 1..max bytes without NUL: all of standard input with one trailing newline removed, or, if that is a terminal, a line typed after "question: ". twice: a typed one is
 * asked for once more, and refused if it differs. what: "the value", for errors. Caller owns the result. */
struct prompt {
	const char *question, *what;
	size_t max;
	bool twice;
};
struct secret *prompt_secret(const struct prompt *prompt, struct error *err);

/* Asks at the terminal whether to go on; is_yes: nobody has to be asked. CLI_OK, or nothing is to be done and it is said: CLI_FAILED, and CLI_USAGE where there
 * is no terminal. */
int prompt_confirm(bool is_yes, const char *question);

/* The part without a terminal: everything from fd. */
struct secret *prompt_read(int fd, const struct prompt *prompt, struct error *err);

#endif
