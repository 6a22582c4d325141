/* The audit trail: an owner's own chain, shown or copied, and any copy checked offline. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/scoped.h"
#include "services/cli/audit_copy.h"
#include "services/cli/web.h"

static void print_entry(const struct audit_entry *entry)
{
	char at[CLOCK_RFC3339_LEN + 1];

	printf("%6" PRIu64 "  %s  ", entry->seq, clock_rfc3339(entry->at_ms, at, sizeof(at)));
	cli_print_text(entry->act);
	printf("%*s", (int)(strlen(entry->act) < 14 ? 14 - strlen(entry->act) : 0) + 1, "");
	cli_print_text(entry->by);
	if (entry->kind[0] || entry->name[0]) {
		fputs("  ", stdout);
		cli_print_text(entry->kind);
		putchar('/');
		cli_print_text(entry->name);
	}
	if (entry->version)
		printf(" version %" PRIu64, entry->version);
	if (entry->detail[0]) {
		fputs("  ", stdout);
		cli_print_text(entry->detail);
	}
	putchar('\n');
}

/* How entries go out: shown, or as lines of a copy, which are checked as they come. */
struct trail {
	struct cli *cli;
	struct audit_copy *copy; /* NULL: shown */
	json_t *all;             /* --json of a list; NULL otherwise */
	uint64_t after;
};

static int take(struct trail *trail, json_t *item, struct error *err)
{
	struct audit_entry entry;
	scoped_free char *text = json_dumps(item, JSON_COMPACT);
	scoped_free char *line = NULL;

	if (!text || audit_entry_parse(text, strlen(text), &entry, err) < 0)
		return -1;
	if (entry.seq <= trail->after)
		return error_set(err, ERR_INTERNAL,
		    "the service does not go on after entry %" PRIu64, trail->after);
	trail->after = entry.seq;
	if (trail->all)
		return json_array_append(trail->all, item);
	if (!trail->copy) {
		print_entry(&entry);
		return 0;
	}
	if (audit_copy_add(trail->copy, &entry, err) < 0)
		return -1;
	line = audit_entry_text(&entry);
	return line && puts(line) >= 0 ? 0 : error_set(err, ERR_UNAVAILABLE, "cannot write");
}

/* One page; *more_r: it was not empty. */
static int page(struct trail *trail, bool *more_r, struct error *err)
{
	scoped_answer struct web_answer answer = {0};
	char path[64];
	size_t i;
	json_t *item;

	snprintf(path, sizeof(path), "/v1/audit?after=%" PRIu64, trail->after);
	if (web_call(trail->cli, "GET", path, NULL, &answer, err) < 0)
		return -1;
	const json_t *entries = web_list(&answer, "entries", err);
	if (!entries)
		return -1;
	*more_r = json_array_size(entries) > 0;
	json_array_foreach(entries, i, item)
	{
		if (take(trail, item, err) < 0)
			return -1;
	}
	return 0;
}

static int follow(struct trail *trail, struct error *err)
{
	bool more = true;

	while (more)
		if (page(trail, &more, err) < 0)
			return -1;
	return 0;
}

static int list(struct cli *cli, int argc, char **argv)
{
	struct trail trail = {.cli = cli};
	struct error err = {0};
	const char *value;

	for (int i = 2; i < argc; i++) {
		if (!(value = cli_option("--after", argc, argv, &i)))
			return cli_usage("audit list: what is '%s'?", argv[i]);
		if (!*value || strlen(value) > 18 || strspn(value, "0123456789") != strlen(value))
			return cli_usage("audit list: --after takes a number, not '%s'", value);
		trail.after = strtoull(value, NULL, 10);
	}
	scoped_json json_t *all = cli->json ? json_array() : NULL;
	trail.all = all;
	if (follow(&trail, &err) < 0)
		return cli_fail(&err);
	if (all)
		cli_print_json(json_pack("{sO}", "entries", all));
	return CLI_OK;
}

/* The head goes to standard error, so that the copy can go to a file: what is kept of it elsewhere makes the copy worth something. */
static int export(struct cli *cli)
{
	scoped_audit_copy struct audit_copy copy;
	struct trail trail = {.cli = cli, .copy = &copy};
	struct error err = {0};
	char head[AUDIT_HEAD_TEXT_MAX + 1];

	audit_copy_open(&copy);
	if (follow(&trail, &err) < 0)
		return cli_fail(&err);
	if (fflush(stdout) != 0) {
		error_set(&err, ERR_UNAVAILABLE, "cannot write the copy: %s", strerror(errno));
		return cli_fail(&err);
	}
	fprintf(
	    stderr, "%" PRIu64 " entries, head %s\n", copy.len, audit_head_text(&copy.head, head));
	return CLI_OK;
}

struct verification {
	const char *path, *head_text;
	struct audit_head head; /* if head_text */
};

static int check(struct audit_copy *copy, const struct verification *wanted, struct error *err)
{
	bool is_stdin = strcmp(wanted->path, "-") == 0;
	scoped_file FILE *opened = is_stdin ? NULL : fopen(wanted->path, "re");
	FILE *file = is_stdin ? stdin : opened;

	if (!file)
		return error_set(
		    err, ERR_NOT_FOUND, "cannot read %s: %s", wanted->path, strerror(errno));
	if (audit_copy_read(copy, file, wanted->path, err) < 0)
		return -1;
	return wanted->head_text
		   ? audit_check_head(copy->check, wanted->head.seq, wanted->head.hash, err)
		   : 0;
}

static int report(
    const struct cli *cli, const struct audit_copy *copy, const struct verification *wanted)
{
	char head[AUDIT_HEAD_TEXT_MAX + 1];

	audit_head_text(&copy->head, head);
	if (cli->json) {
		cli_print_json(json_pack("{sI ss ss sb}", "entries", (json_int_t)copy->len, "head",
		    head, "of", copy->of_all ? "all chains" : "one chain", "head_checked",
		    wanted->head_text != NULL));
		return CLI_OK;
	}
	printf("%" PRIu64 " entries of %s, unbroken; head %s\n", copy->len,
	    copy->of_all ? "all chains" : "one chain", head);
	puts(wanted->head_text ? "The head you gave is in it: nothing up to there was changed, "
				 "left out or cut off."
			       : "Without --head nobody can tell whether its end was cut off.");
	return CLI_OK;
}

static int verify(struct cli *cli, int argc, char **argv)
{
	struct verification wanted = {0};
	scoped_audit_copy struct audit_copy copy;
	struct error err = {0};
	const char *value;

	audit_copy_open(&copy);
	for (int i = 2; i < argc; i++) {
		if ((value = cli_option("--head", argc, argv, &i)))
			wanted.head_text = value;
		else if (!wanted.path)
			wanted.path = argv[i];
		else
			return cli_usage("audit verify: what is '%s'?", argv[i]);
	}
	if (!wanted.path)
		return cli_usage("audit verify: 'audit verify FILE [--head SEQ:HASH]'");
	if (wanted.head_text && audit_head_parse(wanted.head_text, &wanted.head, &err) < 0)
		return cli_usage("%s", err.text);
	if (check(&copy, &wanted, &err) < 0)
		return cli_fail(&err);
	return report(cli, &copy, &wanted);
}

int cli_audit(struct cli *cli, int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (strcmp(what, "list") == 0)
		return list(cli, argc, argv);
	if (strcmp(what, "export") == 0 && argc == 2)
		return export(cli);
	if (strcmp(what, "verify") == 0)
		return verify(cli, argc, argv);
	return cli_usage(
	    "audit: 'audit list [--after N]', 'audit export' or 'audit verify FILE [--head "
	    "SEQ:HASH]'");
}
