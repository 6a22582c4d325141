#include "services/cli/session_file.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/scoped.h"

static void take(const json_t *doc, const char *name, char *to, size_t size)
{
	const char *text = json_string_value(json_object_get(doc, name));

	snprintf(to, size, "%s", text ? text : "");
}

int session_file_read(const char *path, struct session_file *file_r, struct error *err)
{
	scoped_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;

	if (fd < 0 && errno == ENOENT)
		return error_refuse(err, ERR_UNAUTHENTICATED, "session_missing",
		    "not signed in: use 'multiclaw login'");
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_set(err, ERR_INVALID, "cannot read %s: %s", path, strerror(errno));
	if (st.st_mode & 077)
		return error_set(err, ERR_INVALID,
		    "%s can be read by others: chmod 600 it, or sign in again", path);
	scoped_json json_t *doc = json_loadfd(fd, 0, NULL);
	if (!json_is_object(doc))
		return error_set(err, ERR_INVALID, "%s is not a session file", path);
	take(doc, "url", file_r->url, sizeof(file_r->url));
	take(doc, "token", file_r->token, sizeof(file_r->token));
	take(doc, "asset", file_r->asset, sizeof(file_r->asset));
	take(doc, "agent_id", file_r->agent_id, sizeof(file_r->agent_id));
	take(doc, "agent_token", file_r->agent_token, sizeof(file_r->agent_token));
	if (!file_r->url[0] || !file_r->token[0])
		return error_set(err, ERR_INVALID, "%s is not a session file", path);
	return 0;
}

/* Creates the folders above path, private ones. */
static void make_parents(const char *path)
{
	char folder[512];

	snprintf(folder, sizeof(folder), "%s", path);
	for (char *at = strchr(folder + 1, '/'); at; at = strchr(at + 1, '/')) {
		*at = '\0';
		mkdir(folder, 0700);
		*at = '/';
	}
}

int session_file_write(const char *path, const struct session_file *file, struct error *err)
{
	char temp[520];
	scoped_json json_t *doc = json_pack("{ssssssss}", "url", file->url, "token", file->token,
	    "asset", file->asset, "agent_id", file->agent_id);
	if (file->agent_token[0])
		json_object_set_new(doc, "agent_token", json_string(file->agent_token));

	make_parents(path);
	snprintf(temp, sizeof(temp), "%s.new", path);
	unlink(temp);
	scoped_fd int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_set(err, ERR_INTERNAL, "cannot write %s: %s", temp, strerror(errno));
	if (json_dumpfd(doc, fd, JSON_INDENT(2)) < 0 || fsync(fd) < 0 || rename(temp, path) < 0) {
		int saved = errno;
		unlink(temp);
		return error_set(err, ERR_INTERNAL, "cannot write %s: %s", path, strerror(saved));
	}
	return 0;
}

int session_file_remove(const char *path, struct error *err)
{
	if (unlink(path) < 0 && errno != ENOENT)
		return error_set(err, ERR_INTERNAL, "cannot remove %s: %s", path, strerror(errno));
	return 0;
}
