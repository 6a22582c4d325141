#include "common/settings.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/scoped.h"
#include "common/wire.h"

/* Where a value came from, for the error: a file and line, or "environment" and 0, or "default" and 0. */
struct source {
	const char *name;
	unsigned line;
};

/* The rows of all tables, counted through from 0, and which of them have got a value. */
struct loader {
	const struct settings_table *tables;
	size_t ntables;
	size_t nrows;
	bool *given;
};

static const struct setting *row_at(
    const struct loader *loader, size_t n, const struct settings_table **table_r)
{
	const struct settings_table *table = loader->tables;

	for (; n >= table->nrows; table++)
		n -= table->nrows;
	*table_r = table;
	return &table->rows[n];
}

static void *member(const struct settings_table *table, const struct setting *row)
{
	return (char *)table->target + row->offset;
}

__attribute__((format(printf, 4, 5))) static int refuse(
    struct error *err, const struct source *from, const char *key, const char *fmt, ...)
{
	char why[96];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	if (from->line)
		return error_set(
		    err, ERR_INVALID, "%s:%u: %s %s", from->name, from->line, key, why);
	return error_set(err, ERR_INVALID, "%s: %s %s", from->name, key, why);
}

static char *duplicate(const char *text, size_t len)
{
	char *copy = strndup(text, len);

	bug_if(!copy);
	return copy;
}

static int set_str(char **to, const struct setting *row, const char *value,
    const struct source *from, struct error *err)
{
	size_t len = strlen(value);

	if (len < row->min || len > row->max)
		return refuse(err, from, row->name, "must be %" PRIu64 " to %" PRIu64 " bytes long",
		    row->min, row->max);
	free(*to);
	*to = duplicate(value, len);
	return 0;
}

static int parse_u64(const char *text, uint64_t *n_r)
{
	char *end;

	/* strtoull takes signs and white space, we do not */
	if (*text < '0' || *text > '9')
		return -1;
	errno = 0;
	*n_r = strtoull(text, &end, 10);
	return errno != 0 || *end != '\0' ? -1 : 0;
}

static int set_uint(uint64_t *to, const struct setting *row, const char *value,
    const struct source *from, struct error *err)
{
	uint64_t n;

	if (parse_u64(value, &n) != 0)
		return refuse(err, from, row->name, "must be a whole number");
	if (n < row->min || n > row->max)
		return refuse(
		    err, from, row->name, "must be %" PRIu64 " to %" PRIu64, row->min, row->max);
	*to = n;
	return 0;
}

static int set_bool(bool *to, const struct setting *row, const char *value,
    const struct source *from, struct error *err)
{
	static const char *const words[] = {"no", "yes", "false", "true", "0", "1"};

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (strcmp(value, words[i]) == 0) {
			*to = i % 2;
			return 0;
		}
	}
	return refuse(err, from, row->name, "must be yes or no");
}

static void free_list(struct setting_list *list)
{
	for (size_t i = 0; i < list->len; i++)
		free(list->item[i]);
	free(list->item);
	*list = (struct setting_list){0};
}

/* Length of text without the blanks at its end. */
static size_t trimmed(const char *text, size_t len)
{
	while (len > 0 && strchr(" \t\r", text[len - 1]))
		len--;
	return len;
}

static int parse_list(struct setting_list *list, const char *value)
{
	size_t room = 1;

	for (const char *c = value; *c; c++)
		room += *c == ',';
	list->item = calloc(room, sizeof(list->item[0]));
	bug_if(!list->item);
	if (value[strspn(value, " \t")] == '\0')
		return 0;
	for (const char *at = value;; at++) {
		at += strspn(at, " \t");
		size_t len = strcspn(at, ",");
		if (trimmed(at, len) == 0)
			return -1;
		list->item[list->len++] = duplicate(at, trimmed(at, len));
		at += len;
		if (*at == '\0')
			return 0;
	}
}

static int set_list(struct setting_list *to, const struct setting *row, const char *value,
    const struct source *from, struct error *err)
{
	struct setting_list list = {0};
	int status = parse_list(&list, value);

	if (status != 0)
		status = refuse(err, from, row->name, "has an empty item");
	else if (list.len < row->min || list.len > row->max)
		status = refuse(err, from, row->name, "must have %" PRIu64 " to %" PRIu64 " items",
		    row->min, row->max);
	free_list(status == 0 ? to : &list);
	if (status == 0)
		*to = list;
	return status;
}

static int set_value(const struct settings_table *table, const struct setting *row,
    const char *value, const struct source *from, struct error *err)
{
	if (!utf8_is_valid(value, strlen(value)))
		return refuse(err, from, row->name, "is not valid UTF-8");
	for (const char *c = value; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			return refuse(err, from, row->name, "has a control character");
	switch (row->type) {
	case SETTING_STR:
	case SETTING_PATH:
		return set_str(member(table, row), row, value, from, err);
	case SETTING_UINT:
		return set_uint(member(table, row), row, value, from, err);
	case SETTING_BOOL:
		return set_bool(member(table, row), row, value, from, err);
	case SETTING_LIST:
		return set_list(member(table, row), row, value, from, err);
	}
	bug_if(true);
}

/* Gives row n a value. */
static int give(struct loader *loader, size_t n, const char *value, const struct source *from,
    struct error *err)
{
	const struct settings_table *table;
	const struct setting *row = row_at(loader, n, &table);

	loader->given[n] = true;
	return set_value(table, row, value, from, err);
}

static int load_defaults(struct loader *loader, struct error *err)
{
	static const struct source from = {"default", 0};
	const struct settings_table *table;

	for (size_t n = 0; n < loader->nrows; n++) {
		const char *value = row_at(loader, n, &table)->value;
		if (value && give(loader, n, value, &from, err) != 0)
			return -1;
	}
	return 0;
}

static int load_environment(struct loader *loader, struct error *err)
{
	static const struct source from = {"environment", 0};
	const struct settings_table *table;

	for (size_t n = 0; n < loader->nrows; n++) {
		const char *value = getenv(row_at(loader, n, &table)->name);
		if (value && give(loader, n, value, &from, err) != 0)
			return -1;
	}
	return 0;
}

/* Takes the quotes off, in place: "a \"b\"" as systemd reads it. -1: not one quoted text. */
static int unquote(char *value)
{
	char *to = value;

	for (const char *c = value + 1; *c; c++) {
		if (*c == '"') {
			*to = '\0';
			return c[1] == '\0' ? 0 : -1;
		}
		if (*c == '\\' && c[1] && strchr("\"\\$`", c[1]))
			c++;
		*to++ = *c;
	}
	return -1;
}

/* Splits "NAME=value" in place. Returns the value, or NULL with err set. */
static char *split_line(char *line, const struct source *from, struct error *err)
{
	char *value = strchr(line, '=');

	if (!value || value == line) {
		refuse(err, from, "line", "is not NAME=value");
		return NULL;
	}
	*value++ = '\0';
	value += strspn(value, " \t");
	/* what systemd would read in another way than we do must not be there at all */
	bool odd = *value == '\'' || (*value && *value != '"' && strchr(value, '\\'));
	if (odd || (*value == '"' && unquote(value) != 0)) {
		refuse(err, from, line, "is not quoted as it should be: use \"...\"");
		return NULL;
	}
	return value;
}

static int load_line(
    struct loader *loader, char *line, const struct source *from, struct error *err)
{
	const struct settings_table *table;
	bool known = false;

	line += strspn(line, " \t");
	line[trimmed(line, strlen(line))] = '\0';
	if (*line == '\0' || *line == '#')
		return 0;
	const char *value = split_line(line, from, err);
	if (!value)
		return -1;
	for (size_t n = 0; n < loader->nrows; n++) {
		if (strcmp(row_at(loader, n, &table)->name, line) != 0)
			continue;
		known = true;
		if (give(loader, n, value, from, err) != 0)
			return -1;
	}
	return known ? 0 : refuse(err, from, line, "is not a setting of this program");
}

static int load_file(struct loader *loader, const char *path, struct error *err)
{
	struct source from = {path, 0};
	scoped_free char *line = NULL;
	scoped_file FILE *file = fopen(path, "re");
	size_t room = 0;
	ssize_t len;

	if (!file)
		return error_set(err, ERR_NOT_FOUND, "%s: %s", path, strerror(errno));
	while ((len = getline(&line, &room, file)) > 0) {
		from.line++;
		if (line[len - 1] == '\n')
			line[--len] = '\0';
		if (strlen(line) != (size_t)len)
			return refuse(err, &from, "line", "holds a NUL");
		if (load_line(loader, line, &from, err) != 0)
			return -1;
	}
	if (ferror(file))
		return error_set(err, ERR_UNAVAILABLE, "%s: %s", path, strerror(errno));
	return 0;
}

static int check_given(const struct loader *loader, struct error *err)
{
	const struct settings_table *table;

	for (size_t n = 0; n < loader->nrows; n++)
		if (!loader->given[n])
			return error_set(
			    err, ERR_INVALID, "%s must be set", row_at(loader, n, &table)->name);
	return 0;
}

static int load_all(
    struct loader *loader, const char *const *files, size_t nfiles, struct error *err)
{
	if (load_defaults(loader, err) != 0)
		return -1;
	for (size_t i = 0; i < nfiles; i++)
		if (load_file(loader, files[i], err) != 0)
			return -1;
	if (load_environment(loader, err) != 0)
		return -1;
	return check_given(loader, err);
}

int settings_load(const struct settings_table *tables, size_t ntables, const char *const *files,
    size_t nfiles, struct error *err)
{
	struct loader loader = {.tables = tables, .ntables = ntables};

	for (size_t i = 0; i < ntables; i++)
		loader.nrows += tables[i].nrows;
	scoped_free bool *given = calloc(loader.nrows + 1, sizeof(*given));
	bug_if(!given);
	loader.given = given;
	if (load_all(&loader, files, nfiles, err) == 0)
		return 0;
	settings_free(tables, ntables);
	return -1;
}

void settings_free(const struct settings_table *tables, size_t ntables)
{
	for (size_t t = 0; t < ntables; t++) {
		for (size_t i = 0; i < tables[t].nrows; i++) {
			const struct setting *row = &tables[t].rows[i];
			void *to = member(&tables[t], row);

			if (row->type == SETTING_LIST) {
				free_list(to);
			} else if (row->type == SETTING_STR || row->type == SETTING_PATH) {
				free(*(char **)to);
				*(char **)to = NULL;
			}
		}
	}
}

static void print_range(FILE *out, const struct setting *row)
{
	static const char *const units[] = {[SETTING_STR] = " bytes",
	    [SETTING_PATH] = " bytes",
	    [SETTING_LIST] = " items, comma-separated"};

	if (row->type == SETTING_BOOL)
		fputs("# yes or no", out);
	else
		fprintf(out, "# %" PRIu64 " to %" PRIu64 "%s", row->min, row->max,
		    row->type == SETTING_UINT ? "" : units[row->type]);
	fputs(row->value ? "\n" : "; must be set\n", out);
}

void settings_print(FILE *out, const char *title, const struct setting *rows, size_t nrows)
{
	fprintf(out, "# %s\n\n", title);
	for (size_t i = 0; i < nrows; i++) {
		fprintf(out, "# %s\n", rows[i].doc);
		print_range(out, &rows[i]);
		fprintf(out, "#%s=%s\n\n", rows[i].name, rows[i].value ? rows[i].value : "");
	}
}
