/* cli - what every command of `multiclaw` shares. */
#ifndef SERVICES_CLI_CLI_H
#define SERVICES_CLI_CLI_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "common/error.h"

/* Exit codes, part of the interface. */
enum cli_exit {
	CLI_OK = 0,
	CLI_FAILED = 1,      /* refused, or not found */
	CLI_USAGE = 2,       /* wrong words on the command line */
	CLI_SIGNED_OUT = 3,  /* no session, or it is over */
	CLI_UNAVAILABLE = 4, /* the service cannot be reached or cannot answer now */
};

struct cli {
	bool json; /* --json: one JSON document on stdout */
	const char *
	    url; /* --url, else MULTICLAW_PUBLIC_URL, else the session's, else http://localhost:8080 */
	const char *
	    session_path; /* --session, else MULTICLAW_SESSION_FILE, else ~/.local/state/multiclaw/session.json */
	const char *conf[4]; /* -c, repeatable: the suite's settings, for operators' commands */
	size_t nconf;
	char session_path_buf[512];
};

struct cli_command {
	const char *name;
	int (*run)(struct cli *cli, int argc, char **argv); /* argv[0] is the command's name */
	const char *usage; /* "login --keypair FILE [--asset ADDRESS]" */
	const char *about; /* one sentence */
	const char *help;  /* the rest, for `multiclaw help COMMAND`; may be NULL */
};

/* Each is one row of the table in main.c. */
int cli_login(struct cli *cli, int argc, char **argv);
int cli_sign(struct cli *cli, int argc, char **argv);
int cli_whoami(struct cli *cli, int argc, char **argv);
int cli_sessions(struct cli *cli, int argc, char **argv);
int cli_logout(struct cli *cli, int argc, char **argv);
int cli_curl(struct cli *cli, int argc, char **argv);
int cli_events(struct cli *cli, int argc, char **argv);
int cli_status(struct cli *cli, int argc, char **argv);
int cli_revoke(struct cli *cli, int argc, char **argv);
int cli_drill(struct cli *cli, int argc, char **argv);
int cli_ban(struct cli *cli, int argc, char **argv);
int cli_unlist(struct cli *cli, int argc, char **argv);
int cli_unban(struct cli *cli, int argc, char **argv);
int cli_asset(struct cli *cli, int argc, char **argv);
int cli_keys(struct cli *cli, int argc, char **argv);
int cli_secrets(struct cli *cli, int argc, char **argv);
int cli_llm(struct cli *cli, int argc, char **argv);
int cli_audit(struct cli *cli, int argc, char **argv);
int cli_wallet(struct cli *cli, int argc, char **argv);
int cli_vault(struct cli *cli, int argc, char **argv);
int cli_agent(struct cli *cli, int argc, char **argv);
int cli_image(struct cli *cli, int argc, char **argv);

/* "multiclaw: text" on stderr; the exit code that fits the error. */
int cli_fail(const struct error *err);
/* Wrong words: prints them and how to get help; CLI_USAGE. */
int cli_usage(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* What was done, where there is nothing to show: with --json one member, else the text (NULL: nothing). Returns CLI_OK. */
int cli_report(const struct cli *cli, const char *name, const char *value, const char *text);
/* Copies a word that must be there and fit: a longer one would be cut to another's name, none at all may mean all. CLI_OK, or CLI_USAGE and it is said. */
int cli_copy(char *to, size_t size, const char *value, const char *what);

/* Takes `name VALUE` or `name=VALUE` at argv[*at]; moves *at to the last word used. Returns the value, NULL if it is not that option. */
const char *cli_option(const char *name, int argc, char **argv, int *at);

/* Prints text of foreign origin: control and bidirectional characters become '?', so that a name on the chain cannot rewrite the
 * terminal. */
void cli_print_text(const char *text);
void cli_print_text_to(FILE *out, const char *text);
/* Prints an answer's body as it came, or, to a terminal, as cli_print_text does but with its lines. body ends with a NUL, and may hold others. */
void cli_print_body(const char *body, size_t len);
/* Prints a JSON document and a newline; control and bidirectional characters are escaped. Consumes doc. */
void cli_print_json(json_t *doc);

#endif
