#include "services/packer/pack.h"

#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "services/packer/pack_internal.h"
#include "services/packer/survey.h"

int pack_found(struct packing *packing, const char *path, const char *what, struct error *err)
{
	report_end(
	    packing->report, WARDEN_SECRET_FOUND, path, "a secret is in it; nothing was saved");
	snprintf(packing->report->said.kind_of_secret, sizeof(packing->report->said.kind_of_secret),
	    "%s", what);
	return error_set(err, ERR_DENIED, "a secret is in it");
}

/* True: nothing was found. */
static bool scan_text(struct packing *packing, const char *text, char what_r[SCAN_WHAT_MAX])
{
	struct scan *scan = scan_begin(packing->scanner);
	bool is_clean = scan_bytes(scan, text, strlen(text), what_r);

	return scan_end(&scan, what_r) && is_clean;
}

/* A name that has a secret in it is not told: the folder that it is in is. */
static int scan_names(struct packing *packing, const struct walk_item *item, struct error *err)
{
	char what[SCAN_WHAT_MAX] = "", folder[WALK_PATH_MAX], told[SCAN_WHAT_MAX];

	if (!scan_text(packing, item->path, what)) {
		snprintf(folder, sizeof(folder), "%s", item->path);
		char *slash = strrchr(folder, '/');
		folder[slash ? slash - folder : 0] = '\0';
		snprintf(told, sizeof(told), "%.70s, in a file's name", what);
		return pack_found(packing, *folder ? folder : ".", told, err);
	}
	if (item->target && !scan_text(packing, item->target, what)) {
		snprintf(told, sizeof(told), "%.70s, in a link's target", what);
		return pack_found(packing, item->path, told, err);
	}
	return 0;
}

int pack_entry(
    struct packing *packing, const struct walk_item *item, const char *hardlink, struct error *err)
{
	struct archive_entry *entry = archive_entry_clear(packing->entry);

	archive_entry_copy_pathname(entry, item->path);
	archive_entry_set_mode(entry, item->st.st_mode);
	archive_entry_set_mtime(entry, item->st.st_mtim.tv_sec, item->st.st_mtim.tv_nsec);
	archive_entry_set_size(entry, 0);
	if (item->target)
		archive_entry_copy_symlink(entry, item->target);
	if (hardlink)
		archive_entry_copy_hardlink(entry, hardlink);
	packing->report->said.files += !S_ISDIR(item->st.st_mode);
	return archive_out_entry(packing->out, entry, err);
}

int pack_item(struct packing *packing, const struct walk_item *item, struct error *err)
{
	packing->has_changed = packing->has_sides = false;
	if (scan_names(packing, item, err) != 0)
		return -1;
	if (!S_ISREG(item->st.st_mode))
		return pack_entry(packing, item, NULL, err);
	return database_is_side(item->folder, item->name) ? 0 : pack_file(packing, item, err);
}

static int visit(void *arg, const struct walk_item *item, struct error *err)
{
	struct packing *packing = arg;

	if (pack_item(packing, item, err) != 0)
		return -1;
	if (packing->has_changed)
		pack_unsettled(packing, item->path);
	return 0;
}

/* ---- all of it ---- */

static int open_packing(struct packing *packing, int archive, struct error *err)
{
	const struct packer_order *said = &packing->order->said;

	packing->held = memfd_create("held", MFD_CLOEXEC);
	packing->buffer = malloc(PACK_BUFFER);
	packing->zeros = calloc(1, PACK_BUFFER);
	packing->entry = archive_entry_new();
	packing->links = links_new();
	packing->database = database_new();
	bug_if(packing->held < 0 || !packing->buffer || !packing->zeros || !packing->entry);
	packing->out =
	    archive_out_new(archive, said->agent, &packing->order->said.archive, said->level, err);
	return packing->out ? 0 : -1;
}

static void close_packing(struct packing *packing)
{
	archive_out_destroy(&packing->out);
	database_destroy(&packing->database);
	links_destroy(&packing->links);
	archive_entry_free(packing->entry);
	for (size_t i = 0; i < packing->nunsettled; i++)
		free(packing->unsettled[i].path);
	free(packing->unsettled);
	free(packing->buffer);
	free((void *)(uintptr_t)packing->zeros);
	close(packing->held);
}

static int write_all(struct packing *packing, struct walk *walk, struct error *err)
{
	struct packer_report *said = &packing->report->said;

	if (walk_run(walk, err) != 0)
		return -1;
	said->skipped += walk->skipped;
	snprintf(walk->path, sizeof(walk->path), "%s", "");
	if (pack_settle(packing, err) != 0)
		return -1;
	return archive_out_finish(packing->out, said->digest, &said->stored_bytes, err);
}

static void write_archive(struct packing *packing, int archive)
{
	struct walk walk = {.root = packing->root,
	    .roots = &packing->order->roots,
	    .excluded = &packing->order->excluded,
	    .visit = visit,
	    .arg = packing};
	struct error err = {0};

	int rc = open_packing(packing, archive, &err);
	if (rc == 0)
		rc = write_all(packing, &walk, &err);
	close_packing(packing);
	if (rc == 0) {
		/* the reader has to see the end before anybody hears that it was reached */
		close(archive);
		report_end(packing->report, WARDEN_MADE, NULL, "");
	} else if (err.code != ERR_DENIED && err.code != ERR_CONFLICT) {
		report_end(packing->report, WARDEN_NOT_SAVED,
		    err.code == ERR_UNAVAILABLE ? NULL : walk.path, err.text);
	}
}

static bool is_unchanged(const struct packer_order *said, const struct survey *survey)
{
	return !sodium_is_zero(said->fingerprint, sizeof(said->fingerprint)) &&
	       memcmp(said->fingerprint, survey->fingerprint, FINGERPRINT_BYTES) == 0;
}

void pack_run(struct order *order, struct scanner *scanner, int root, int archive, int temporary,
    struct report *report)
{
	struct packing packing = {.order = order,
	    .scanner = scanner,
	    .report = report,
	    .root = root,
	    .temporary = temporary};
	char where[WALK_PATH_MAX];
	struct survey survey;
	struct error err = {0};

	if (survey_make(root, &order->roots, &order->excluded, &survey, where, &err) != 0) {
		report_end(report, WARDEN_NOT_SAVED, where, err.text);
		return;
	}
	report->said.total_bytes = survey.bytes;
	memcpy(report->said.fingerprint, survey.fingerprint, FINGERPRINT_BYTES);
	if (is_unchanged(&order->said, &survey)) {
		report->said.skipped = survey.skipped;
		report_end(report, WARDEN_UNCHANGED, NULL, "");
	} else if (survey.bytes > order->said.bytes_max) {
		report_end(report, WARDEN_TOO_LARGE, NULL,
		    "the files are larger than a snapshot may be; delete or exclude some");
	} else {
		write_archive(&packing, archive);
	}
}
