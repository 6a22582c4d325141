/* A database: as SQLite's backup gives it, or, where SQLite does not open it, as the plain files that it is made of. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/scoped.h"
#include "services/packer/pack_internal.h"

/* Size and times are those of the file, contents and length those of the copy. */
static int pack_copy(struct packing *packing, const struct walk_item *item, int fd,
    const struct stat *st, struct error *err)
{
	struct stat copy;

	if (fstat(fd, &copy) != 0)
		return error_set(err, ERR_INTERNAL, "database: %s", strerror(errno));
	copy.st_mode = st->st_mode;
	copy.st_mtim = st->st_mtim;
	const struct pack_source source = {item->path, fd, &copy, true, true};
	int rc = pack_contents(packing, &source, err);
	if (fd == packing->temporary)
		(void)!ftruncate(fd, 0);
	return rc;
}

struct sides {
	int fd[DATABASE_SIDES];
	struct stat st[DATABASE_SIDES];
};

static void close_sides(struct sides *sides)
{
	for (size_t i = 0; i < DATABASE_SIDES; i++)
		if (sides->fd[i] >= 0)
			close(sides->fd[i]);
}

static bool side_name(char *to, size_t size, const char *name, size_t i)
{
	return snprintf(to, size, "%s%s", name, database_sides[i]) < (int)size;
}

/* Those that hold data: what SQLite shares in memory is made anew. */
static struct sides open_sides(const struct walk_item *item)
{
	struct sides sides = {.fd = {-1, -1, -1}};
	char name[256];

	for (size_t i = 0; i < DATABASE_SIDES - 1; i++) {
		if (side_name(name, sizeof(name), item->name, i))
			sides.fd[i] = pack_open(item->folder, name, &sides.st[i]);
		if (sides.fd[i] >= 0 && sides.st[i].st_size == 0) {
			close(sides.fd[i]);
			sides.fd[i] = -1;
		}
	}
	return sides;
}

static int pack_sides(
    struct packing *packing, const struct walk_item *item, struct sides *sides, struct error *err)
{
	char path[WALK_PATH_MAX];
	struct stat after;

	for (size_t i = 0; i < DATABASE_SIDES; i++) {
		if (sides->fd[i] < 0 || !side_name(path, sizeof(path), item->path, i))
			continue;
		const struct pack_source source = {
		    .path = path, .fd = sides->fd[i], .st = &sides->st[i]};
		packing->has_sides = true;
		if (pack_contents(packing, &source, err) != 0)
			return -1;
		packing->has_changed |=
		    fstat(sides->fd[i], &after) != 0 || !pack_is_same(&sides->st[i], &after);
	}
	return 0;
}

/* Whole if none of them changed from the first byte to the last. */
static int pack_as_files(struct packing *packing, const struct walk_item *item, int fd,
    const struct stat *st, struct error *err)
{
	__attribute__((cleanup(close_sides))) struct sides sides = open_sides(item);
	const struct pack_source source = {item->path, fd, st, true, false};
	struct stat after;

	if (pack_contents(packing, &source, err) != 0 ||
	    pack_sides(packing, item, &sides, err) != 0)
		return -1;
	__attribute__((cleanup(close_sides))) struct sides now = open_sides(item);
	for (size_t i = 0; i < DATABASE_SIDES; i++)
		packing->has_changed |= (sides.fd[i] < 0) != (now.fd[i] < 0) ||
					(now.fd[i] >= 0 && !pack_is_same(&sides.st[i], &now.st[i]));
	packing->has_changed |= fstat(fd, &after) != 0 || !pack_is_same(st, &after);
	return 0;
}

static bool has_sides(const struct walk_item *item)
{
	struct sides sides = open_sides(item);
	bool has = sides.fd[0] >= 0 || sides.fd[1] >= 0;

	close_sides(&sides);
	return has;
}

/* What an earlier entry says of them is no longer so. */
static int empty_sides(
    struct packing *packing, const struct walk_item *item, const struct stat *st, struct error *err)
{
	char path[WALK_PATH_MAX];
	struct walk_item side = {.path = path, .st = *st};

	for (size_t i = 0; i < DATABASE_SIDES - 1; i++)
		if (side_name(path, sizeof(path), item->path, i) &&
		    pack_entry(packing, &side, NULL, err) != 0)
			return -1;
	return 0;
}

/* What is committed may be in the log still, all of it. */
static int copy_to(struct packing *packing, const struct walk_item *item, const struct stat *st)
{
	struct sides sides = open_sides(item);
	int64_t most = st->st_size + (sides.fd[0] >= 0 ? sides.st[0].st_size : 0);

	close_sides(&sides);
	return most > PACK_DATABASE_IN_MEMORY ? packing->temporary : packing->held;
}

int pack_database(struct packing *packing, const struct walk_item *item, int fd,
    const struct stat *st, struct error *err)
{
	int to = copy_to(packing, item, st);
	bool had_sides = packing->has_sides;
	const struct database_file file = {item->folder, item->name, database_look(fd).has_log};
	struct error why = {.code = ERR_BUSY};

	packing->has_sides = false;
	if (to >= 0 && database_copy(packing->database, &file, to, &why) == 0) {
		if (had_sides && empty_sides(packing, item, st, err) != 0)
			return -1;
		return pack_copy(packing, item, to, st, err);
	}
	if (to == packing->temporary && to >= 0)
		(void)!ftruncate(to, 0);
	/* nobody is in the middle of a change: the file alone is the database */
	if (why.code == ERR_BUSY && has_sides(item))
		return error_set(err, ERR_INTERNAL,
		    "no room in /data for the copy of this database, which is in use; free some, "
		    "or exclude it");
	return pack_as_files(packing, item, fd, st, err);
}
