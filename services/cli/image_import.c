#include "services/cli/image_import.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/scoped.h"
#include "services/cli/image_layout.h"
#include "services/cli/image_signal.h"
#include "services/cli/image_unpack.h"
#include "services/cli/image_user.h"

/* .import/work belongs to whom umoci runs as, .import and .import/result to us */
struct work {
	const struct image_store *store;
	const struct image_import *import;
	struct image_imported *imported;
	struct image_layout layout;
	int top, work, result;
	struct error *err;
};

static int failed(struct error *err, const char *what, const char *name)
{
	return error_set(err, ERR_UNAVAILABLE, "cannot %s %s: %s", what, name, strerror(errno));
}

static int make_folder(int in, const char *name, mode_t mode, int *fd_r, struct error *err)
{
	if (mkdirat(in, name, 0700) != 0)
		return failed(err, "make", name);
	*fd_r = openat(in, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (*fd_r < 0 || fchmod(*fd_r, mode) != 0)
		return failed(err, "open", name);
	return 0;
}

static int open_work(struct work *work)
{
	struct image_user user = image_unpack_user();

	if (image_tree_remove(work->store->folder, IMAGE_WORK, work->err) < 0 ||
	    make_folder(work->store->folder, IMAGE_WORK, 0700, &work->top, work->err) < 0 ||
	    make_folder(work->top, "work", 0700, &work->work, work->err) < 0 ||
	    make_folder(work->top, "result", 0755, &work->result, work->err) < 0)
		return -1;
	if (geteuid() == 0 && fchown(work->work, user.uid, user.gid) != 0)
		return failed(work->err, "hand over", "work");
	return 0;
}

static int close_work(struct work *work, int rc)
{
	struct error left;
	const int fds[] = {work->top, work->work, work->result};

	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	image_config_free(&work->layout.config);
	/* what is left is in nobody's way, and the next import takes it away */
	if (image_tree_remove(work->store->folder, IMAGE_WORK, &left) < 0 && rc == 0)
		return error_set(work->err, ERR_UNAVAILABLE, "imported, but: %s", left.text);
	return rc;
}

static int copy_layout(struct work *work)
{
	int layout = -1;
	int rc = make_folder(work->work, "layout", 0755, &layout, work->err);

	if (rc == 0)
		rc = image_layout_copy(work->import->layout, work->import->tag, layout,
		    work->import->limits.bytes_max, &work->layout, work->err);
	if (layout >= 0)
		close(layout);
	memcpy(work->imported->hex, work->layout.hex, sizeof(work->imported->hex));
	return rc;
}

/* To .import/result/rootfs. */
static int unpack(struct work *work)
{
	char path[sizeof(work->store->path) + 32];
	uint64_t devices;

	snprintf(path, sizeof(path), "%s/" IMAGE_WORK "/work", work->store->path);
	if (image_unpack(path, work->work, &work->import->limits, &devices, work->err) < 0)
		return -1;
	scoped_fd int tree =
	    openat(work->work, "bundle", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (tree < 0)
		return failed(work->err, "open", "what umoci made");
	if (image_tree_mend(tree, &work->import->limits, &work->imported->mended, work->err) < 0 ||
	    image_tree_measure(tree, &work->import->limits, &work->imported->size, work->err) < 0)
		return -1;
	work->imported->mended.devices += devices;
	if (renameat(work->work, "bundle", work->result, "rootfs") != 0)
		return failed(work->err, "move", "what umoci made");
	return 0;
}

/* What is run, and how: in the folder of the image, beside rootfs. */
static int describe(struct work *work, int folder)
{
	char user[IMAGE_USER_TEXT_MAX];
	const struct image_config *config = &work->layout.config;
	scoped_fd int tree =
	    openat(folder, "rootfs", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (tree < 0)
		return failed(work->err, "open", "rootfs");
	if (image_user_resolve(tree, config->user, user, work->err) < 0)
		return -1;
	scoped_json json_t *json =
	    json_pack("{ss ss sO sO sO ss ss ss}", "digest", work->layout.hex, "name",
		work->import->name, "entrypoint", config->entrypoint, "cmd", config->cmd, "env",
		config->env, "cwd", config->cwd, "user", user, "kind", work->import->kind);
	bug_if(!json);
	return image_store_write_json(folder, "image.json", json, work->err);
}

static int place(struct work *work)
{
	if (unpack(work) < 0 || describe(work, work->result) < 0 || image_is_interrupted(work->err))
		return -1;
	if (syncfs(work->result) != 0)
		return failed(work->err, "sync", work->store->path);
	if (renameat(work->top, "result", work->store->folder, work->layout.hex) != 0)
		return failed(work->err, "move into place", work->layout.hex);
	return fsync(work->store->folder) == 0 ? 0 : failed(work->err, "sync", work->store->path);
}

static int import_to(struct work *work)
{
	if (open_work(work) < 0 || copy_layout(work) < 0)
		return -1;
	scoped_fd int there = openat(
	    work->store->folder, work->layout.hex, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	work->imported->was_there = there >= 0;
	if ((there >= 0 ? describe(work, there) : place(work)) < 0)
		return -1;
	return image_store_write_name(work->store, work->import->name, work->layout.hex, work->err);
}

int image_import(const struct image_store *store, const struct image_import *import,
    struct image_imported *imported_r, struct error *err)
{
	struct work work = {.store = store,
	    .import = import,
	    .imported = imported_r,
	    .top = -1,
	    .work = -1,
	    .result = -1,
	    .err = err};

	memset(imported_r, 0, sizeof(*imported_r));
	umask(022);
	image_signals_hold();
	int rc = close_work(&work, import_to(&work));
	image_signals_release();
	return rc;
}
