#include "services/cli/image_spec.h"

#include <inttypes.h>
#include <string.h>
#include <sys/utsname.h>

#define MANIFEST_TYPE "application/vnd.oci.image.manifest.v1+json"
#define CONFIG_TYPE "application/vnd.oci.image.config.v1+json"
#define REF_NAME "org.opencontainers.image.ref.name"

static const char *const layer_types[] = {
    "application/vnd.oci.image.layer.v1.tar", "application/vnd.oci.image.layer.v1.tar+gzip"};

__attribute__((format(printf, 2, 3))) static int refuse(struct error *err, const char *fmt, ...)
{
	va_list args;
	char text[ERROR_TEXT_MAX];

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	return error_refuse(err, ERR_INVALID, "image_invalid", "%s", text);
}

json_t *image_json(const char *text, size_t len, const char *what, struct error *err)
{
	json_error_t where;

	if (len > IMAGE_JSON_MAX) {
		refuse(err, "%s is larger than %d bytes", what, IMAGE_JSON_MAX);
		return NULL;
	}
	json_t *json = json_loadb(text, len, JSON_REJECT_DUPLICATES, &where);
	if (!json || !json_is_object(json)) {
		refuse(err, "%s is no JSON object: %s", what, json ? "something else" : where.text);
		json_decref(json);
		return NULL;
	}
	return json;
}

static const char *text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? text : "";
}

static int read_descriptor(const json_t *json, const char *const *types, size_t ntypes,
    struct image_descriptor *descriptor_r, struct error *err)
{
	static const char prefix[] = "sha256:";
	const char *type = text_of(json, "mediaType"), *digest = text_of(json, "digest");
	const json_t *size = json_object_get(json, "size");
	size_t known = 0;

	while (known < ntypes && strcmp(types[known], type) != 0)
		known++;
	if (known == ntypes)
		return refuse(err, "media type '%.80s' is not supported: %s is", type, types[0]);
	if (json_object_get(json, "urls"))
		return refuse(err, "a part of the image is kept elsewhere (urls)");
	const char *hex = digest + sizeof(prefix) - 1;
	if (strncmp(digest, prefix, sizeof(prefix) - 1) != 0 || strlen(hex) != IMAGE_DIGEST_HEX ||
	    strspn(hex, "0123456789abcdef") != IMAGE_DIGEST_HEX)
		return refuse(err, "'%.80s' is no SHA-256 digest", digest);
	if (!json_is_integer(size) || json_integer_value(size) < 0)
		return refuse(err, "a descriptor names no size");
	memcpy(descriptor_r->hex, hex, IMAGE_DIGEST_HEX + 1);
	descriptor_r->size = (uint64_t)json_integer_value(size);
	return 0;
}

static int check_version(const json_t *json, const char *type, struct error *err)
{
	const json_t *own = json_object_get(json, "mediaType");

	if (json_integer_value(json_object_get(json, "schemaVersion")) != 2)
		return refuse(err, "its schemaVersion is not 2");
	if (own && strcmp(text_of(json, "mediaType"), type) != 0)
		return refuse(
		    err, "it calls itself '%.80s', not %s", text_of(json, "mediaType"), type);
	return 0;
}

static const json_t *find_tag(const json_t *manifests, const char *tag)
{
	const json_t *found = NULL;

	for (size_t i = 0; i < json_array_size(manifests); i++) {
		const json_t *one = json_array_get(manifests, i);
		if (strcmp(text_of(json_object_get(one, "annotations"), REF_NAME), tag) != 0)
			continue;
		if (found)
			return NULL; /* two of one name */
		found = one;
	}
	return found;
}

int image_spec_index(
    const json_t *index, const char *tag, struct image_descriptor *manifest_r, struct error *err)
{
	static const char *const types[] = {MANIFEST_TYPE};
	const json_t *manifests = json_object_get(index, "manifests");

	if (check_version(index, "application/vnd.oci.image.index.v1+json", err) < 0)
		return -1;
	if (!json_is_array(manifests) || json_array_size(manifests) == 0)
		return refuse(err, "the layout holds no image");
	const json_t *chosen = !tag && json_array_size(manifests) == 1
				   ? json_array_get(manifests, 0)
				   : find_tag(manifests, tag ? tag : "latest");
	if (!chosen)
		return error_refuse(err, ERR_NOT_FOUND, "image_missing",
		    "the layout holds no one image of the name '%.80s'", tag ? tag : "latest");
	return read_descriptor(chosen, types, 1, manifest_r, err);
}

int image_spec_manifest(
    const json_t *manifest, struct image_manifest *manifest_r, struct error *err)
{
	static const char *const config_types[] = {CONFIG_TYPE};
	const json_t *layers = json_object_get(manifest, "layers");
	size_t n = json_array_size(layers);

	memset(manifest_r, 0, sizeof(*manifest_r));
	if (check_version(manifest, MANIFEST_TYPE, err) < 0 ||
	    read_descriptor(
		json_object_get(manifest, "config"), config_types, 1, &manifest_r->config, err) < 0)
		return -1;
	if (n == 0 || n > IMAGE_LAYERS_MAX)
		return refuse(err, "it has %zu layers, not 1 to %d", n, IMAGE_LAYERS_MAX);
	for (size_t i = 0; i < n; i++)
		if (read_descriptor(json_array_get(layers, i), layer_types, ARRAY_LEN(layer_types),
			&manifest_r->layer[i], err) < 0)
			return -1;
	manifest_r->nlayers = n;
	return 0;
}

/* ---- configuration ---- */

void image_config_free(struct image_config *config)
{
	json_decref(config->entrypoint);
	json_decref(config->cmd);
	json_decref(config->env);
	config->entrypoint = config->cmd = config->env = NULL;
}

/* A list of text, or null, which is an empty one. jansson itself refuses NUL. */
static json_t *read_words(const json_t *config, const char *name, struct error *err)
{
	const json_t *words = json_object_get(config, name);
	size_t n = json_array_size(words), bytes = 0;

	if (words && !json_is_null(words) && !json_is_array(words)) {
		refuse(err, "%s is no list", name);
		return NULL;
	}
	for (size_t i = 0; i < n; i++) {
		const json_t *word = json_array_get(words, i);
		bytes += json_string_length(word) + 1;
		if (!json_is_string(word) || json_string_length(word) > IMAGE_WORD_MAX) {
			refuse(err, "%s: entry %zu is no text of at most %d bytes", name, i + 1,
			    IMAGE_WORD_MAX);
			return NULL;
		}
	}
	if (n > IMAGE_WORDS_MAX || bytes > IMAGE_WORDS_BYTES) {
		refuse(err, "%s: more than %d entries or %d bytes", name, IMAGE_WORDS_MAX,
		    IMAGE_WORDS_BYTES);
		return NULL;
	}
	return n ? json_deep_copy(words) : json_array();
}

static int check_env(const json_t *env, struct error *err)
{
	for (size_t i = 0; i < json_array_size(env); i++) {
		const char *text = json_string_value(json_array_get(env, i));
		size_t name = strcspn(text, "=");
		if (name == 0 || text[name] != '=')
			return refuse(err, "Env: entry %zu is not NAME=value", i + 1);
		for (size_t c = 0; c < name; c++)
			if ((unsigned char)text[c] <= ' ' || text[c] == 0x7f)
				return refuse(err, "Env: entry %zu is no name", i + 1);
	}
	return 0;
}

static bool has_control(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			return true;
	return false;
}

static bool begins_with_folder(const char *path, const char *folder)
{
	size_t len = strlen(folder);

	return strncmp(path, folder, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

/* A working directory below /proc has been a way out of containers more than once (CVE-2024-21626). */
static int read_cwd(const json_t *config, char cwd[IMAGE_PATH_MAX + 1], struct error *err)
{
	static const char *const refused[] = {"/proc", "/sys", "/dev"};
	const json_t *json = json_object_get(config, "WorkingDir");
	const char *path = json && !json_is_null(json) ? json_string_value(json) : "";

	if (path && !path[0])
		path = "/";
	if (!path || path[0] != '/' || strlen(path) > IMAGE_PATH_MAX || has_control(path))
		return refuse(
		    err, "WorkingDir is no absolute path of at most %d bytes", IMAGE_PATH_MAX);
	for (const char *at = path; *at; at += strcspn(at, "/")) {
		at += strspn(at, "/");
		size_t len = strcspn(at, "/");
		if ((len == 1 && at[0] == '.') || (len == 2 && at[0] == '.' && at[1] == '.'))
			return refuse(err, "WorkingDir '%.80s' has '.' or '..' in it", path);
	}
	for (size_t i = 0; i < ARRAY_LEN(refused); i++)
		if (begins_with_folder(path + strspn(path, "/") - 1, refused[i]))
			return refuse(err, "WorkingDir '%.80s' is none of the image's", path);
	memcpy(cwd, path, strlen(path) + 1);
	return 0;
}

static int read_user(const json_t *config, char user[IMAGE_USER_MAX + 1], struct error *err)
{
	const json_t *json = json_object_get(config, "User");
	const char *text = json && !json_is_null(json) ? json_string_value(json) : "";

	if (!text || strlen(text) > IMAGE_USER_MAX || has_control(text))
		return refuse(err, "User is no text of at most %d bytes", IMAGE_USER_MAX);
	memcpy(user, text, strlen(text) + 1);
	return 0;
}

static int check_platform(const json_t *config, const char *architecture, struct error *err)
{
	const char *os = text_of(config, "os"), *its = text_of(config, "architecture");

	if (strcmp(os, "linux") != 0 || strcmp(its, architecture) != 0)
		return refuse(err, "the image is for '%.20s/%.20s', this machine is linux/%s", os,
		    its, architecture);
	return 0;
}

int image_spec_config(const json_t *config, const char *architecture, struct image_config *config_r,
    struct error *err)
{
	const json_t *run = json_object_get(config, "config");

	memset(config_r, 0, sizeof(*config_r));
	if (check_platform(config, architecture, err) < 0)
		return -1;
	if (!(config_r->entrypoint = read_words(run, "Entrypoint", err)) ||
	    !(config_r->cmd = read_words(run, "Cmd", err)) ||
	    !(config_r->env = read_words(run, "Env", err)) || check_env(config_r->env, err) < 0)
		return -1;
	const json_t *words =
	    json_array_size(config_r->entrypoint) ? config_r->entrypoint : config_r->cmd;
	if (json_string_length(json_array_get(words, 0)) == 0)
		return refuse(err, "the image names no program (Entrypoint, Cmd)");
	return read_cwd(run, config_r->cwd, err) < 0 ? -1 : read_user(run, config_r->user, err);
}

const char *image_architecture(void)
{
	static struct utsname machine;

	uname(&machine);
	if (strcmp(machine.machine, "x86_64") == 0)
		return "amd64";
	return strcmp(machine.machine, "aarch64") == 0 ? "arm64" : machine.machine;
}
