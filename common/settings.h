/* settings - one typed table per program. Sources, later ones win: the table's default, files of NAME=value lines (the format
 * of systemd's EnvironmentFile: '#' comments, optional double quotes), the environment. A name in a file that no table knows,
 * a wrong type, a value out of range: an error that names file, line and key. Samples (deploy/conf) derive from the tables.
 */
#ifndef COMMON_SETTINGS_H
#define COMMON_SETTINGS_H

#include <stddef.h>
#include <stdio.h>

#include "common/error.h"

enum setting_type {
	SETTING_STR,  /* member: char *, owned by the settings; min..max are bytes */
	SETTING_UINT, /* member: uint64_t; min..max are values */
	SETTING_BOOL, /* member: bool; yes/no/true/false/1/0 */
	SETTING_LIST, /* member: struct setting_list; comma-separated; min..max are counts */
	SETTING_PATH, /* member: char *; like STR */
};

struct setting_list {
	size_t len;
	char **item; /* owned by the settings */
};

struct setting {
	const char *name; /* "MULTICLAW_REDIS" */
	enum setting_type type;
	size_t offset; /* of the member in the struct the table belongs to */
	uint64_t min, max;
	const char *value; /* default as text; NULL: must be given */
	const char *doc;   /* one sentence */
};

struct settings_table {
	void *target; /* the struct that the offsets count in */
	const struct setting *rows;
	size_t nrows;
};

/* Loads every table from defaults, files and environment, in that order. */
int settings_load(const struct settings_table *tables, size_t ntables, const char *const *files,
    size_t nfiles, struct error *err);
/* Frees the strings and lists in the targets. */
void settings_free(const struct settings_table *tables, size_t ntables);
/* Writes a sample file: each row's sentence, range and default, commented out. */
void settings_print(FILE *out, const char *title, const struct setting *rows, size_t nrows);

#endif
