/* Images of agents: import, list, remove. On the host itself, beside warden and sandbox, who read the store. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/scoped.h"
#include "services/cli/cli.h"
#include "services/cli/image_import.h"

#define SIZE_DEFAULT (UINT64_C(4) << 30)
#define SIZE_MIN (UINT64_C(64) << 10)
#define SIZE_MAX_BYTES (UINT64_C(1) << 40)
#define FILES_DEFAULT 200000
#define FILES_MAX 10000000

struct words {
	const char *images, *name, *kind, *size, *files, *what;
	bool force;
};

/* Returns CLI_OK, or CLI_USAGE and it is said. */
static int read_words(int argc, char **argv, struct words *words_r)
{
	const struct {
		const char *option;
		const char **to;
	} options[] = {{"--images", &words_r->images}, {"--name", &words_r->name},
	    {"--kind", &words_r->kind}, {"--max-size", &words_r->size},
	    {"--max-files", &words_r->files}};

	for (int i = 2; i < argc; i++) {
		const char *value = NULL;
		for (size_t o = 0; o < ARRAY_LEN(options) && !value; o++)
			if ((value = cli_option(options[o].option, argc, argv, &i)))
				*options[o].to = value;
		if (value)
			continue;
		if (strcmp(argv[i], "--force") == 0)
			words_r->force = true;
		else if (argv[i][0] != '-' && !words_r->what)
			words_r->what = argv[i];
		else
			return cli_usage("image %s: what is '%s'?", argv[1], argv[i]);
	}
	return CLI_OK;
}

/* "4G": whole numbers, with K, M, G. */
static bool parse_size(const char *text, uint64_t min, uint64_t max, uint64_t *size_r)
{
	static const char units[] = "KMG";
	char *end;

	errno = 0;
	unsigned long long number = strtoull(text, &end, 10);
	if (!isdigit((unsigned char)text[0]) || errno != 0 || number > max)
		return false;
	const char *unit = *end ? strchr(units, toupper((unsigned char)*end)) : NULL;
	unsigned shift = unit ? 10 * (unsigned)(unit - units + 1) : 0;
	if ((unit && end[1]) || (!unit && *end) || number > max >> shift)
		return false;
	*size_r = (uint64_t)number << shift;
	return *size_r >= min;
}

/* "folder:tag"; a folder of the whole word comes first. */
static void split_layout(char *word, struct image_import *import)
{
	char *colon = strrchr(word, ':');

	import->layout = word;
	if (!colon || strchr(colon, '/') || access(word, F_OK) == 0)
		return;
	*colon = '\0';
	import->tag = colon + 1;
}

static int read_import(const struct words *words, char *word, struct image_import *import_r)
{
	*import_r = (struct image_import){.name = words->name,
	    .kind = words->kind ? words->kind : "",
	    .limits = {SIZE_DEFAULT, FILES_DEFAULT}};
	if (!words->what || !words->name)
		return cli_usage("image import: LAYOUT[:TAG] --name NAME");
	if (!image_name_is_good(words->name))
		return cli_usage(
		    "a name is 1 to %d of a-z 0-9 - . _ and begins with no dot, not '%s'",
		    IMAGE_NAME_MAX, words->name);
	if (strcmp(import_r->kind, "") != 0 && strcmp(import_r->kind, "openclaw") != 0)
		return cli_usage("a kind is openclaw, or not given, not '%s'", import_r->kind);
	if (words->size &&
	    !parse_size(words->size, SIZE_MIN, SIZE_MAX_BYTES, &import_r->limits.bytes_max))
		return cli_usage("--max-size takes 64K to 1024G, not '%s'", words->size);
	if (words->files && !parse_size(words->files, 1, FILES_MAX, &import_r->limits.files_max))
		return cli_usage("--max-files takes 1 to %d, not '%s'", FILES_MAX, words->files);
	split_layout(word, import_r);
	return CLI_OK;
}

static void say(uint64_t n, const char *what)
{
	if (n)
		printf("  %" PRIu64 " %s\n", n, what);
}

static void report(
    const struct cli *cli, const struct image_import *import, const struct image_imported *imported)
{
	const struct image_mended *mended = &imported->mended;

	if (cli->json) {
		cli_print_json(json_pack("{ss ss ss sb sI sI sI sI sI sI sI sI}", "name",
		    import->name, "digest", imported->hex, "kind", import->kind, "was_there",
		    imported->was_there, "files", (json_int_t)imported->size.files, "bytes",
		    (json_int_t)imported->size.bytes, "devices", (json_int_t)mended->devices,
		    "sockets", (json_int_t)mended->sockets, "fifos", (json_int_t)mended->fifos,
		    "bits", (json_int_t)mended->bits, "xattrs", (json_int_t)mended->xattrs,
		    "replaced", (json_int_t)mended->replaced));
		return;
	}
	printf("%s is sha256:%s", import->name, imported->hex);
	if (imported->was_there)
		puts(", which was here already.");
	else
		printf(" (%" PRIu64 " files, %" PRIu64 " bytes).\n", imported->size.files,
		    imported->size.bytes);
	say(mended->devices, "device nodes are not in it");
	say(mended->sockets, "sockets removed");
	say(mended->fifos, "FIFOs removed");
	say(mended->bits, "files lost setuid, setgid or the right of others to write");
	say(mended->xattrs, "files or folders lost extended attributes or capabilities");
	say(mended->replaced,
	    "links or files were where a mount point has to be, and were replaced");
}

static int import(struct cli *cli, const struct words *words)
{
	scoped_image_store struct image_store store = {.folder = -1, .names = -1};
	scoped_free char *word = words->what ? strdup(words->what) : NULL;
	struct image_import import;
	struct image_imported imported;
	struct error err = {0};

	if (words->force || read_import(words, word, &import) != CLI_OK)
		return words->force ? cli_usage("image import: what is '--force'?") : CLI_USAGE;
	if (image_store_open(&store, words->images, true, &err) < 0 ||
	    image_import(&store, &import, &imported, &err) < 0)
		return cli_fail(&err);
	report(cli, &import, &imported);
	return CLI_OK;
}

static void print_image(const json_t *image)
{
	const char *const names[] = {"name", "digest", "kind", "user"};
	const char *texts[ARRAY_LEN(names)];

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const char *text = json_string_value(json_object_get(image, names[i]));
		texts[i] = text && text[0] ? text : "-";
	}
	printf("%-24s sha256:%.64s  %-8.16s  user %.16s\n", texts[0], texts[1], texts[2], texts[3]);
}

static int list(struct cli *cli, const struct words *words)
{
	scoped_image_store struct image_store store = {.folder = -1, .names = -1};
	struct error err = {0};

	if (words->what || words->name || words->kind || words->force)
		return cli_usage("image list [--images DIR]");
	if (image_store_open(&store, words->images, false, &err) < 0)
		return cli_fail(&err);
	json_t *images = image_store_list(&store, &err);
	if (!images)
		return cli_fail(&err);
	if (cli->json) {
		cli_print_json(images);
		return CLI_OK;
	}
	for (size_t i = 0; i < json_array_size(images); i++)
		print_image(json_array_get(images, i));
	json_decref(images);
	return CLI_OK;
}

/* Out of the way in one step, so that nobody finds half an image. */
static int remove_image(const struct image_store *store, const char *hex, struct error *err)
{
	if (image_tree_remove(store->folder, IMAGE_WORK, err) < 0)
		return -1;
	if (renameat(store->folder, hex, store->folder, IMAGE_WORK) != 0 && errno != ENOENT)
		return error_set(err, ERR_UNAVAILABLE, "cannot move %s: %s", hex, strerror(errno));
	return image_tree_remove(store->folder, IMAGE_WORK, err);
}

static int rm(struct cli *cli, const struct words *words)
{
	scoped_image_store struct image_store store = {.folder = -1, .names = -1};
	struct error err = {0};
	char hex[IMAGE_DIGEST_HEX + 1];

	if (!words->what || words->name || words->kind)
		return cli_usage("image rm NAME [--force] [--images DIR]");
	if (!image_name_is_good(words->what))
		return cli_usage("'%s' is no image's name", words->what);
	if (image_store_open(&store, words->images, false, &err) < 0 ||
	    image_store_read_name(&store, words->what, hex, &err) < 0)
		return cli_fail(&err);
	bool is_last = image_store_names_of(&store, hex) <= 1;
	if (is_last && !words->force && image_store_is_mounted(hex)) {
		error_refuse(&err, ERR_CONFLICT, "image_in_use",
		    "an agent runs in it, and would lose its files under way: stop it, or --force");
		return cli_fail(&err);
	}
	if (unlinkat(store.names, words->what, 0) != 0) {
		error_set(&err, ERR_UNAVAILABLE, "cannot remove the name: %s", strerror(errno));
		return cli_fail(&err);
	}
	if (is_last && remove_image(&store, hex, &err) < 0)
		return cli_fail(&err);
	return cli_report(cli, "removed", words->what,
	    is_last ? "Removed." : "Removed the name; the image has others.");
}

int cli_image(struct cli *cli, int argc, char **argv)
{
	struct words words = {0};
	const char *what = argc > 1 ? argv[1] : "";

	if (argc > 1 && read_words(argc, argv, &words) != CLI_OK)
		return CLI_USAGE;
	if (strcmp(what, "import") == 0)
		return import(cli, &words);
	if (strcmp(what, "list") == 0)
		return list(cli, &words);
	if (strcmp(what, "rm") == 0)
		return rm(cli, &words);
	return cli_usage(
	    "image: 'image import LAYOUT[:TAG] --name NAME', 'image list' or 'image rm NAME'");
}
