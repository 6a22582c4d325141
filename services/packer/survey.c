#include "services/packer/survey.h"

#include <sodium.h>
#include <string.h>

#include "common/scoped.h"

struct survey_state {
	crypto_generichash_state hash;
	uint64_t bytes;
};

static void add_text(crypto_generichash_state *hash, const char *text)
{
	crypto_generichash_update(hash, (const uint8_t *)text, strlen(text) + 1);
}

static void add_numbers(crypto_generichash_state *hash, const int64_t *numbers, size_t n)
{
	crypto_generichash_update(hash, (const uint8_t *)numbers, n * sizeof(*numbers));
}

uint64_t survey_data_bytes(const struct stat *st)
{
	uint64_t on_disk = (uint64_t)st->st_blocks * 512, size = (uint64_t)st->st_size;

	/* a small file may be in its inode */
	return size <= 4096 || size < on_disk ? size : on_disk;
}

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), more = strlen(end);

	return len >= more && strcmp(text + len - more, end) == 0;
}

static int visit(void *arg, const struct walk_item *item, struct error *err)
{
	struct survey_state *state = arg;
	const struct stat *st = &item->st;
	const int64_t what[] = {(int64_t)st->st_mode, (int64_t)st->st_ino};
	const int64_t when[] = {st->st_size, st->st_mtim.tv_sec, st->st_mtim.tv_nsec,
	    st->st_ctim.tv_sec, st->st_ctim.tv_nsec};

	(void)err;
	if (ends_with(item->name, "-shm"))
		return 0;
	add_text(&state->hash, item->path);
	add_numbers(&state->hash, what, ARRAY_LEN(what));
	if (!S_ISDIR(st->st_mode))
		add_numbers(&state->hash, when, ARRAY_LEN(when));
	if (item->target)
		add_text(&state->hash, item->target);
	if (S_ISREG(st->st_mode))
		state->bytes +=
		    survey_data_bytes(st) / st->st_nlink; /* each of its names has its share */
	return 0;
}

static void add_paths(crypto_generichash_state *hash, const struct paths *paths)
{
	for (size_t i = 0; i < paths->n; i++)
		add_text(hash, paths->path[i]);
	add_text(hash, "");
}

int survey_make(int root, const struct paths *roots, const struct paths *excluded,
    struct survey *survey_r, char where_r[WALK_PATH_MAX], struct error *err)
{
	struct survey_state state = {0};
	struct walk walk = {
	    .root = root, .roots = roots, .excluded = excluded, .visit = visit, .arg = &state};

	crypto_generichash_init(&state.hash, NULL, 0, FINGERPRINT_BYTES);
	add_paths(&state.hash, roots);
	add_paths(&state.hash, excluded);
	int rc = walk_run(&walk, err);
	memcpy(where_r, walk.path, sizeof(walk.path));
	if (rc != 0)
		return -1;
	crypto_generichash_final(&state.hash, survey_r->fingerprint, FINGERPRINT_BYTES);
	survey_r->bytes = state.bytes;
	survey_r->skipped = walk.skipped;
	return 0;
}
