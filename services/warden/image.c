#include "services/warden/image.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "common/scoped.h"

#define JSON_BYTES_MAX (256 * 1024)
#define WORDS_MAX 256
#define WORD_BYTES_MAX 32768
#define WORDS_BYTES_MAX (128 * 1024)

static int open_in(int folder, const char *path, uint64_t flags, uint64_t resolve)
{
	struct open_how how = {.flags = flags | O_CLOEXEC, .resolve = resolve};

	return (int)syscall(SYS_openat2, folder, path, &how, sizeof(how));
}

/* ---- image.json ---- */

typedef bool (*word_check)(const char *word);

static bool any_word(const char *word)
{
	(void)word;
	return true;
}

static bool is_variable(const char *word)
{
	size_t len = strcspn(word, "=");

	if (len == 0 || word[len] != '=' || (word[0] >= '0' && word[0] <= '9'))
		return false;
	if (strncmp(word, "_LIBCONTAINER_", 14) == 0)
		return false;
	for (size_t i = 0; i < len; i++)
		if (word[i] <= ' ' || word[i] == 0x7f)
			return false;
	return true;
}

/* Appends the texts of root[name], which may be missing, to list. */
static int take_words(
    const json_t *root, const char *name, word_check check, json_t *list, struct error *err)
{
	const json_t *words = json_object_get(root, name);
	size_t i, total = 0;
	json_t *word;

	if (!words || json_is_null(words))
		return 0;
	if (!json_is_array(words) || json_array_size(words) > WORDS_MAX)
		return error_set(err, ERR_INVALID, "image.json: %s is not a list of at most %d",
		    name, WORDS_MAX);
	json_array_foreach(words, i, word)
	{
		size_t len = json_string_length(word);
		total += len;
		/* jansson refuses a NUL in a text already */
		if (!json_is_string(word) || len > WORD_BYTES_MAX || total > WORDS_BYTES_MAX ||
		    !check(json_string_value(word)))
			return error_set(
			    err, ERR_INVALID, "image.json: %s has a bad item %zu", name, i);
		json_array_append(list, word);
	}
	return 0;
}

static bool parse_id(const char **at, uint32_t *id_r)
{
	uint32_t id = 0;
	size_t digits = strspn(*at, "0123456789");

	if (digits == 0 || digits > 5)
		return false;
	for (size_t i = 0; i < digits; i++)
		id = id * 10 + (uint32_t)((*at)[i] - '0');
	*at += digits;
	*id_r = id;
	return id <= IMAGE_UID_MAX;
}

/* "", "uid" or "uid:gid": names were resolved by who made image.json. */
static int take_user(const json_t *root, struct image *image, struct error *err)
{
	const json_t *user = json_object_get(root, "user");
	const char *at = json_string_value(user);

	image->uid = image->gid = IMAGE_USER;
	if (!user || json_is_null(user) || (at && !*at))
		return 0;
	bool good = at && parse_id(&at, &image->uid);
	image->gid = image->uid;
	if (good && *at == ':') {
		at++;
		good = parse_id(&at, &image->gid);
	}
	if (good && !*at)
		return 0;
	return error_set(err, ERR_INVALID,
	    "image.json: user is not a number up to %d, or two with a colon", IMAGE_UID_MAX);
}

static bool is_below(const char *path, const char *folder)
{
	size_t len = strlen(folder);

	return strncmp(path, folder, len) == 0 && (path[len] == '\0' || path[len] == '/');
}

/* A working directory that leads to a descriptor of the runtime's is a way out of the container (CVE-2024-21626). */
static int take_cwd(const json_t *root, struct image *image, struct error *err)
{
	static const char *const never[] = {"/proc", "/sys", "/dev", "/run/secrets"};
	const json_t *cwd = json_object_get(root, "cwd");
	const char *path = !cwd || json_is_null(cwd) ? "/" : json_string_value(cwd);

	if (path && !*path)
		path = "/";
	bool good = path && path[0] == '/' && strlen(path) < 1024;
	for (const char *at = path; good && at; at = strchr(at, '/')) {
		at++;
		size_t len = strcspn(at, "/");
		good = !(len == 1 && at[0] == '.') && !(len == 2 && at[0] == '.' && at[1] == '.') &&
		       !(len == 0 && *at == '/');
	}
	for (size_t i = 0; good && i < ARRAY_LEN(never); i++)
		good = !is_below(path, never[i]);
	if (!good)
		return error_set(err, ERR_INVALID,
		    "image.json: cwd is not an absolute, plain path outside /proc, /sys, /dev");
	image->cwd = strdup(path);
	bug_if(!image->cwd);
	return 0;
}

static int take_all(const json_t *root, const char *digest, struct image *image, struct error *err)
{
	const char *said = json_string_value(json_object_get(root, "digest"));

	if (!json_is_object(root) || !said)
		return error_set(err, ERR_INVALID, "image.json: is not an object with a digest");
	if (strncmp(said, "sha256:", 7) == 0)
		said += 7;
	if (strcmp(said, digest) != 0)
		return error_set(err, ERR_INVALID, "image.json: is of another image");
	if (take_words(root, "entrypoint", any_word, image->args, err) != 0 ||
	    take_words(root, "cmd", any_word, image->args, err) != 0 ||
	    take_words(root, "env", is_variable, image->env, err) != 0)
		return -1;
	if (json_array_size(image->args) == 0 ||
	    !*json_string_value(json_array_get(image->args, 0)))
		return error_set(err, ERR_INVALID, "image.json: says nothing to run");
	if (take_user(root, image, err) != 0)
		return -1;
	return take_cwd(root, image, err);
}

int image_parse(
    const char *text, size_t len, const char *digest, struct image *image_r, struct error *err)
{
	json_error_t where;
	scoped_json json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &where);

	*image_r = (struct image){.args = json_array(), .env = json_array(), .rootfs = -1};
	bug_if(!image_r->args || !image_r->env);
	if (!root) {
		image_free(image_r);
		return error_set(err, ERR_INVALID, "image.json: %s", where.text);
	}
	if (take_all(root, digest, image_r, err) == 0)
		return 0;
	image_free(image_r);
	return -1;
}

void image_free(struct image *image)
{
	json_decref(image->args);
	json_decref(image->env);
	free(image->cwd);
	if (image->rootfs >= 0)
		close(image->rootfs);
	*image = (struct image){.rootfs = -1};
}

/* ---- the folder ---- */

static int read_json(int folder, char **text_r, size_t *len_r, struct error *err)
{
	struct stat about;
	scoped_fd int fd = open_in(
	    folder, "image.json", O_RDONLY | O_NONBLOCK, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);

	if (fd < 0 || fstat(fd, &about) != 0)
		return error_set(err, ERR_INVALID, "image.json: %s", strerror(errno));
	if (!S_ISREG(about.st_mode) || about.st_size > JSON_BYTES_MAX)
		return error_set(err, ERR_INVALID, "image.json: is no file of at most %d KiB",
		    JSON_BYTES_MAX / 1024);
	scoped_free char *text = calloc(1, JSON_BYTES_MAX + 1);
	bug_if(!text);
	ssize_t len = pread(fd, text, JSON_BYTES_MAX, 0);
	if (len < 0)
		return error_set(err, ERR_UNAVAILABLE, "image.json: %s", strerror(errno));
	*text_r = text;
	*len_r = (size_t)len;
	text = NULL;
	return 0;
}

static bool is_there(int rootfs, const char *path, mode_t type)
{
	struct stat about;
	scoped_fd int fd =
	    open_in(rootfs, path, O_PATH | O_NOFOLLOW, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);

	return fd >= 0 && fstat(fd, &about) == 0 && (about.st_mode & S_IFMT) == type;
}

/* What lies in a volume the agent may have made: below /data a link could wait. */
static bool is_good_cwd(const struct image *image)
{
	const char *cwd = image->cwd;

	if (strcmp(cwd, "/") == 0 || strcmp(cwd, "/data") == 0 || strcmp(cwd, "/tmp") == 0)
		return true;
	return !is_below(cwd, "/data") && !is_below(cwd, "/tmp") &&
	       is_there(image->rootfs, cwd + 1, S_IFDIR);
}

/* Made by the import; a link in their place would have the runtime mount somewhere else. */
static int check_rootfs(struct image *image, struct error *err)
{
	static const char *const folders[] = {
	    "proc", "sys", "dev", "tmp", "data", "run", "run/secrets"};

	for (size_t i = 0; i < ARRAY_LEN(folders); i++)
		if (!is_there(image->rootfs, folders[i], S_IFDIR))
			return error_set(err, ERR_INVALID,
			    "the image has no folder /%s of its own: import it again", folders[i]);
	if (!is_good_cwd(image))
		return error_set(err, ERR_INVALID,
		    "image.json: cwd is no folder of the image, or leads through a link");
	image->has_resolv_conf = is_there(image->rootfs, "etc/resolv.conf", S_IFREG);
	image->has_hosts = is_there(image->rootfs, "etc/hosts", S_IFREG);
	image->has_hostname = is_there(image->rootfs, "etc/hostname", S_IFREG);
	return 0;
}

static int open_rootfs(int folder, struct image *image, struct error *err)
{
	image->rootfs = open_in(folder, "rootfs", O_PATH | O_DIRECTORY | O_NOFOLLOW,
	    RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
	if (image->rootfs < 0)
		return error_set(err, ERR_INVALID, "the image has no rootfs: %s", strerror(errno));
	return check_rootfs(image, err);
}

int image_read(const char *images, const char *digest, struct image *image_r, struct error *err)
{
	scoped_fd int store = open(images, O_PATH | O_DIRECTORY | O_CLOEXEC);
	scoped_free char *text = NULL;
	size_t len = 0;

	if (strlen(digest) != IMAGE_DIGEST_LEN ||
	    strspn(digest, "0123456789abcdef") != IMAGE_DIGEST_LEN)
		return error_set(err, ERR_INVALID, "not the digest of an image");
	scoped_fd int folder = store < 0 ? -1
					 : open_in(store, digest, O_PATH | O_DIRECTORY,
					       RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
	if (folder < 0)
		return error_set(err, ERR_NOT_FOUND, "image %.12s is not on this host: %s", digest,
		    strerror(errno));
	if (read_json(folder, &text, &len, err) != 0 ||
	    image_parse(text, len, digest, image_r, err) != 0)
		return -1;
	if (open_rootfs(folder, image_r, err) == 0)
		return 0;
	image_free(image_r);
	return -1;
}
