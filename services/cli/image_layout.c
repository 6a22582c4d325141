#include "services/cli/image_layout.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "common/scoped.h"
#include "services/cli/image_signal.h"

#define BLOCK 65536

struct copying {
	int from, to;  /* folders: layouts */
	uint64_t left; /* of what all its blobs may be */
	struct error *err;
};

static int failed(struct error *err, const char *what, const char *name)
{
	return error_set(err, ERR_UNAVAILABLE, "cannot %s %s: %s", what, name, strerror(errno));
}

/* Without following any link, so that a layout cannot make us read what is not in it. */
static int open_regular(int folder, const char *name, struct stat *st_r, struct error *err)
{
	const struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
	    .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
	int fd = (int)syscall(SYS_openat2, folder, name, &how, sizeof(how));

	if (fd < 0)
		return error_refuse(err, ERR_INVALID, "image_invalid", "the layout's %s: %s", name,
		    strerror(errno));
	if (fstat(fd, st_r) == 0 && S_ISREG(st_r->st_mode))
		return fd;
	close(fd);
	return error_refuse(err, ERR_INVALID, "image_invalid", "the layout's %s is no file", name);
}

static int write_all(int fd, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, bytes, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		bytes += n;
		len -= (size_t)n;
	}
	return 0;
}

static int write_file(
    int folder, const char *name, const char *bytes, size_t len, struct error *err)
{
	scoped_fd int fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	if (fd < 0 || write_all(fd, bytes, len) != 0)
		return failed(err, "write", name);
	return 0;
}

/* ---- blobs ---- */

static int pump(int from, int to, uint64_t size, EVP_MD_CTX *hash, struct error *err)
{
	char block[BLOCK];
	uint64_t done = 0;

	for (;;) {
		ssize_t n = read(from, block, sizeof(block));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return failed(err, "read", "a blob");
		if (n == 0)
			break;
		done += (size_t)n;
		if (done > size)
			break;
		if (image_is_interrupted(err))
			return -1;
		bug_if(EVP_DigestUpdate(hash, block, (size_t)n) != 1);
		if (write_all(to, block, (size_t)n) != 0)
			return failed(err, "write", "a blob");
	}
	if (done != size)
		return error_refuse(err, ERR_INVALID, "image_invalid",
		    "a blob is not of the size that is said of it");
	return 0;
}

static int check_digest(EVP_MD_CTX *hash, const char *hex, struct error *err)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	char text[2 * EVP_MAX_MD_SIZE + 1];
	unsigned len = 0;

	bug_if(EVP_DigestFinal_ex(hash, digest, &len) != 1);
	for (unsigned i = 0; i < len; i++)
		snprintf(text + 2 * i, 3, "%02x", digest[i]);
	if (strcmp(text, hex) != 0)
		return error_refuse(err, ERR_INVALID, "digest_mismatch",
		    "blob sha256:%s holds something else", hex);
	return 0;
}

static void hash_free(EVP_MD_CTX **hash)
{
	EVP_MD_CTX_free(*hash);
}

/* The digest that counts is the one of the bytes that were copied. */
static int copy_blob(struct copying *copying, const struct image_descriptor *blob)
{
	char name[sizeof("blobs/sha256/") + IMAGE_DIGEST_HEX];
	struct stat st;

	snprintf(name, sizeof(name), "blobs/sha256/%s", blob->hex);
	if (blob->size > copying->left)
		return error_refuse(copying->err, ERR_INVALID, "image_too_large",
		    "the image is larger than the limit (see --max-size)");
	copying->left -= blob->size;
	scoped_fd int from = open_regular(copying->from, name, &st, copying->err);
	if (from < 0)
		return -1;
	scoped_fd int to = openat(copying->to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (to < 0 && errno == EEXIST)
		return 0; /* one layer twice */
	if (to < 0)
		return failed(copying->err, "make", name);
	__attribute__((cleanup(hash_free))) EVP_MD_CTX *hash = EVP_MD_CTX_new();
	bug_if(!hash || EVP_DigestInit_ex(hash, EVP_sha256(), NULL) != 1);
	if (pump(from, to, blob->size, hash, copying->err) < 0)
		return -1;
	return check_digest(hash, blob->hex, copying->err);
}

/* ---- JSON ---- */

static json_t *read_json(int folder, const char *name, const char *what, struct error *err)
{
	struct stat st;
	scoped_fd int fd = open_regular(folder, name, &st, err);

	if (fd < 0)
		return NULL;
	scoped_free char *text = malloc(IMAGE_JSON_MAX + 1);
	size_t len = 0;
	ssize_t n = 1;
	bug_if(!text);
	while (n > 0 && len <= IMAGE_JSON_MAX) {
		n = read(fd, text + len, IMAGE_JSON_MAX + 1 - len);
		len += n > 0 ? (size_t)n : 0;
	}
	if (n < 0) {
		failed(err, "read", what);
		return NULL;
	}
	return image_json(text, len, what, err);
}

/* From our copy, which is checked and which nobody else changes. */
static json_t *blob_json(
    struct copying *copying, const struct image_descriptor *blob, const char *what)
{
	char name[sizeof("blobs/sha256/") + IMAGE_DIGEST_HEX];

	if (copy_blob(copying, blob) < 0)
		return NULL;
	snprintf(name, sizeof(name), "blobs/sha256/%s", blob->hex);
	return read_json(copying->to, name, what, copying->err);
}

static int write_index(struct copying *copying, const struct image_descriptor *manifest)
{
	static const char layout[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
	char index[512];
	int len = snprintf(index, sizeof(index),
	    "{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":"
	    "\"application/"
	    "vnd.oci.image.manifest.v1+json\",\"digest\":\"sha256:%s\",\"size\":%" PRIu64
	    ",\"annotations\":{\"org.opencontainers.image.ref.name\":\"image\"}}]}",
	    manifest->hex, manifest->size);

	if (write_file(copying->to, "oci-layout", layout, sizeof(layout) - 1, copying->err) < 0)
		return -1;
	return write_file(copying->to, "index.json", index, (size_t)len, copying->err);
}

static int copy_image(struct copying *copying, const struct image_descriptor *descriptor,
    struct image_config *config_r)
{
	scoped_json json_t *json = blob_json(copying, descriptor, "the manifest");
	scoped_free struct image_manifest *manifest = malloc(sizeof(*manifest));

	bug_if(!manifest);
	if (!json || image_spec_manifest(json, manifest, copying->err) < 0)
		return -1;
	scoped_json json_t *config = blob_json(copying, &manifest->config, "the configuration");
	if (!config || image_spec_config(config, image_architecture(), config_r, copying->err) < 0)
		return -1;
	for (size_t i = 0; i < manifest->nlayers; i++)
		if (copy_blob(copying, &manifest->layer[i]) < 0)
			return -1;
	return write_index(copying, descriptor);
}

static int make_folders(int to, struct error *err)
{
	if (mkdirat(to, "blobs", 0755) != 0 || mkdirat(to, "blobs/sha256", 0755) != 0)
		return failed(err, "make", "the copy of the layout");
	return 0;
}

int image_layout_copy(const char *path, const char *tag, int to, uint64_t packed_max,
    struct image_layout *layout_r, struct error *err)
{
	struct image_descriptor manifest;
	scoped_fd int from = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct copying copying = {from, to, packed_max, err};

	memset(layout_r, 0, sizeof(*layout_r));
	if (from < 0)
		return error_set(err, ERR_NOT_FOUND, "%s: %s", path, strerror(errno));
	scoped_json json_t *index = read_json(from, "index.json", "index.json", err);
	if (!index || image_spec_index(index, tag, &manifest, err) < 0 || make_folders(to, err) < 0)
		return -1;
	memcpy(layout_r->hex, manifest.hex, sizeof(layout_r->hex));
	return copy_image(&copying, &manifest, &layout_r->config);
}
