#include "common/providers.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

#include "common/origin.h"
#include "common/scoped.h"

#define FILE_MAX (256 * 1024)
#define NAME_CHARS "abcdefghijklmnopqrstuvwxyz0123456789_-"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define ENV_CHARS UPPER "0123456789_"
#define TOKEN_CHARS NAME_CHARS UPPER
#define PATH_CHARS TOKEN_CHARS "./:"
#define HTTPS "https://"
#define PRICE_MAX 1000000.0

/* Are all of its members among these (by spaces), or begin with "x-"? */
static bool has_only(const json_t *object, const char *names)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)object, key, value)
	{
		const char *at = strstr(names, key);
		size_t len = strlen(key);
		bool is_whole = at && len > 0 && (at == names || at[-1] == ' ') &&
				(at[len] == ' ' || at[len] == '\0');
		if (!is_whole && strncmp(key, "x-", 2) != 0)
			return false;
	}
	return true;
}

static bool is_env(const char *text)
{
	return strlen(text) <= 64 && strchr(UPPER, text[0]) && text[0] &&
	       strspn(text, ENV_CHARS) == strlen(text);
}

static bool is_env_taken(const struct providers *providers, const char *env)
{
	/* the one being read counts as well */
	for (size_t i = 0; i <= providers->len; i++) {
		const struct provider *provider = &providers->provider[i];
		for (size_t k = 0; k < provider->nenv; k++)
			if (strcmp(provider->env[k], env) == 0)
				return true;
		if (i < providers->len && strcmp(provider->base_url_env, env) == 0)
			return true;
	}
	return false;
}

static const char *read_envs(
    const struct providers *providers, const json_t *list, struct provider *provider)
{
	size_t len = json_array_size(list);

	if (!json_is_array(list) || len == 0 || len > PROVIDER_ENVS_MAX)
		return "env is not a list of 1 to 4 names";
	for (size_t i = 0; i < len; i++) {
		const char *env = json_string_value(json_array_get(list, i));

		if (!env || !is_env(env))
			return "env holds something that is not [A-Z][A-Z0-9_]{0,63}";
		if (is_env_taken(providers, env))
			return "env holds a name that was there before";
		snprintf(provider->env[provider->nenv++], sizeof(provider->env[0]), "%s", env);
	}
	return NULL;
}

/* ---- what llm-gateway needs. Each returns NULL, or what is wrong. */

static const char *read_base_url(const json_t *value, struct provider *provider)
{
	const char *text = json_string_value(value);
	struct origin origin;
	struct error why;

	if (!text || strlen(text) >= sizeof(provider->base_url) ||
	    strncmp(text, HTTPS, strlen(HTTPS)) != 0)
		return "base_url is not https://...";
	size_t host = strlen(HTTPS) + strcspn(text + strlen(HTTPS), "/");
	snprintf(provider->base_url, sizeof(provider->base_url), "%.*s", (int)host, text);
	if (origin_parse(provider->base_url, &origin, &why) != 0)
		return "base_url names no host";
	if (strspn(text + host, PATH_CHARS) != strlen(text + host) || strstr(text + host, "//") ||
	    strstr(text + host, "/.") || text[strlen(text) - 1] == '/')
		return "base_url has something behind the host that is not a path, or ends in a "
		       "slash";
	snprintf(provider->base_url, sizeof(provider->base_url), "%s", text);
	return NULL;
}

static bool is_token(const char *text)
{
	return text[0] && strspn(text, TOKEN_CHARS) == strlen(text);
}

/* Of an optional member: absent is "". */
static bool read_text(const json_t *object, const char *name, char *to, size_t size)
{
	const json_t *value = json_object_get(object, name);
	const char *text = value ? json_string_value(value) : "";

	if (!text || strlen(text) >= size)
		return false;
	snprintf(to, size, "%s", text);
	return true;
}

static const char *read_auth(const json_t *object, struct provider *provider)
{
	if (!json_is_object(object) || !has_only(object, "header prefix query"))
		return "auth is not an object of header, prefix and query";
	if (!read_text(object, "header", provider->header, sizeof(provider->header)) ||
	    !read_text(object, "prefix", provider->prefix, sizeof(provider->prefix)) ||
	    !read_text(object, "query", provider->query, sizeof(provider->query)))
		return "auth has a member that is no text, or too long";
	if ((provider->header[0] && !is_token(provider->header)) ||
	    (provider->query[0] && !is_token(provider->query)) ||
	    (!provider->header[0] && !provider->query[0]))
		return "auth names neither a header nor a parameter of the query";
	if (strspn(provider->prefix, TOKEN_CHARS " ") != strlen(provider->prefix))
		return "auth has a prefix that cannot stand in a header";
	return NULL;
}

static const char *read_paths(const json_t *list, struct provider *provider)
{
	size_t len = json_array_size(list);

	if (!json_is_array(list) || len == 0 || len > PROVIDER_PATHS_MAX)
		return "paths is not a list of 1 to 16";
	for (size_t i = 0; i < len; i++) {
		const char *path = json_string_value(json_array_get(list, i));

		if (!path || path[0] != '/' || strlen(path) >= sizeof(provider->path[0]) ||
		    strspn(path, PATH_CHARS) != strlen(path) || strstr(path, "//") ||
		    strstr(path, "/."))
			return "paths holds something that is no path";
		snprintf(provider->path[provider->npaths++], sizeof(provider->path[0]), "%s", path);
	}
	return NULL;
}

static const char *read_shape(const json_t *value, struct provider *provider)
{
	static const char *const names[] = {[PROVIDER_OPENAI] = "openai",
	    [PROVIDER_ANTHROPIC] = "anthropic",
	    [PROVIDER_GEMINI] = "gemini"};
	const char *text = json_string_value(value);

	for (size_t i = 0; text && i < ARRAY_LEN(names); i++) {
		if (strcmp(text, names[i]) == 0) {
			provider->shape = (enum provider_shape)i;
			return NULL;
		}
	}
	return "shape is not openai, anthropic or gemini";
}

static const char *read_price(const json_t *object, struct provider_price *price)
{
	const json_t *input = json_object_get(object, "input"),
		     *output = json_object_get(object, "output");

	if (!json_is_object(object) || !has_only(object, "model input output"))
		return "prices holds something other than model, input and output";
	if (!read_text(object, "model", price->model, sizeof(price->model)) || !price->model[0] ||
	    strspn(price->model, TOKEN_CHARS "./:@") != strlen(price->model))
		return "prices holds a model that is no name";
	price->input = json_number_value(input);
	price->output = json_number_value(output);
	if (!json_is_number(input) || !json_is_number(output) || price->input < 0 ||
	    price->output < 0 || price->input > PRICE_MAX || price->output > PRICE_MAX)
		return "prices holds a price that is not 0 to 1000000";
	return NULL;
}

static const char *read_prices(const json_t *list, struct provider *provider)
{
	size_t len = json_array_size(list);

	if (!list)
		return NULL;
	if (!json_is_array(list) || len > PROVIDER_PRICES_MAX)
		return "prices is not a list of at most 64";
	for (size_t i = 0; i < len; i++) {
		const char *why =
		    read_price(json_array_get(list, i), &provider->price[provider->nprices++]);
		if (why)
			return why;
	}
	return NULL;
}

static const char *read_offer(const json_t *object, struct provider *provider)
{
	const json_t *base_url = json_object_get(object, "base_url"),
		     *auth = json_object_get(object, "auth"),
		     *paths = json_object_get(object, "paths"),
		     *shape = json_object_get(object, "shape");
	const char *why;

	if (!base_url && !auth && !paths && !shape)
		return json_object_get(object, "prices") ? "prices without base_url" : NULL;
	if (!base_url || !auth || !paths || !shape)
		return "base_url, auth, paths and shape come together";
	why = read_base_url(base_url, provider);
	why = why ? why : read_auth(auth, provider);
	why = why ? why : read_paths(paths, provider);
	why = why ? why : read_shape(shape, provider);
	return why ? why : read_prices(json_object_get(object, "prices"), provider);
}

static const char *read_client(
    const struct providers *providers, const json_t *object, struct provider *provider)
{
	if (!read_text(
		object, "base_url_env", provider->base_url_env, sizeof(provider->base_url_env)) ||
	    (provider->base_url_env[0] && !is_env(provider->base_url_env)))
		return "base_url_env is not [A-Z][A-Z0-9_]{0,63}";
	if (provider->base_url_env[0] && is_env_taken(providers, provider->base_url_env))
		return "base_url_env is a name that was there before";
	if (!read_text(
		object, "client_path", provider->client_path, sizeof(provider->client_path)) ||
	    strspn(provider->client_path, PATH_CHARS) != strlen(provider->client_path) ||
	    (provider->client_path[0] && provider->client_path[0] != '/'))
		return "client_path is no path";
	if (!read_text(object, "openclaw", provider->openclaw, sizeof(provider->openclaw)) ||
	    strspn(provider->openclaw, NAME_CHARS) != strlen(provider->openclaw))
		return "openclaw is not [a-z0-9_-]{1,64}";
	return NULL;
}

static const char *read_provider(
    const struct providers *providers, const json_t *object, struct provider *provider)
{
	const char *name = json_string_value(json_object_get(object, "name"));

	if (!json_is_object(object))
		return "it is not an object";
	if (!has_only(object,
		"name env base_url auth paths shape prices base_url_env client_path openclaw"))
		return "there is a member other than name, env, base_url, auth, paths, shape, "
		       "prices, base_url_env, client_path, openclaw, x-...";
	if (!name || !name[0] || strlen(name) > 64 || strspn(name, NAME_CHARS) != strlen(name))
		return "name is not [a-z0-9_-]{1,64}";
	if (providers_find(providers, name))
		return "name was there before";
	snprintf(provider->name, sizeof(provider->name), "%s", name);
	const char *why = read_envs(providers, json_object_get(object, "env"), provider);
	why = why ? why : read_offer(object, provider);
	return why ? why : read_client(providers, object, provider);
}

static int read_list(struct providers *providers, const json_t *root, struct error *err)
{
	const json_t *list = json_object_get(root, "providers"), *object;
	size_t i;

	if (!json_is_object(root) || !has_only(root, "providers"))
		return error_set(err, ERR_INVALID, "not an object with providers, and x-... alone");
	if (!json_is_array(list) || json_array_size(list) == 0 ||
	    json_array_size(list) > PROVIDERS_MAX)
		return error_set(
		    err, ERR_INVALID, "providers is not a list of 1 to %d", PROVIDERS_MAX);
	json_array_foreach(list, i, object)
	{
		const char *why = read_provider(providers, object, &providers->provider[i]);
		if (why)
			return error_set(err, ERR_INVALID, "provider %zu: %s", i + 1, why);
		providers->len++;
	}
	return 0;
}

struct providers *providers_parse(const char *text, size_t len, struct error *err)
{
	json_error_t why;
	scoped_json json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
	struct providers *providers;

	if (!root) {
		error_set(err, ERR_INVALID, "line %d: %s", why.line, why.text);
		return NULL;
	}
	providers = calloc(1, sizeof(*providers));
	bug_if(!providers);
	if (read_list(providers, root, err) != 0)
		providers_destroy(&providers);
	return providers;
}

struct providers *providers_read(const char *path, struct error *err)
{
	scoped_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	scoped_free char *text = malloc(FILE_MAX + 1);
	struct providers *providers;
	struct error why;
	struct stat st;
	size_t len = 0;
	ssize_t n = 1;

	bug_if(!text);
	if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		error_set(err, ERR_NOT_FOUND, "%s: %s", path,
		    fd < 0 ? strerror(errno) : "not a regular file");
		return NULL;
	}
	while (len <= FILE_MAX && (n = read(fd, text + len, FILE_MAX + 1 - len)) > 0)
		len += (size_t)n;
	if (n < 0 || len > FILE_MAX) {
		error_set(err, ERR_INVALID, "%s: %s", path,
		    n < 0 ? strerror(errno) : "larger than 256 KiB");
		return NULL;
	}
	providers = providers_parse(text, len, &why);
	if (!providers)
		error_set(err, ERR_INVALID, "%s: %s", path, why.text);
	return providers;
}

void providers_destroy(struct providers **providers)
{
	free(*providers);
	*providers = NULL;
}

const struct provider *providers_find(const struct providers *providers, const char *name)
{
	for (size_t i = 0; i < providers->len; i++)
		if (strcmp(providers->provider[i].name, name) == 0)
			return &providers->provider[i];
	return NULL;
}

/* ---- prices */

static bool is_version(const char *rest)
{
	if (!rest[0] || rest[0] == ':' || rest[0] == '@')
		return true;
	return rest[0] == '-' &&
	       ((rest[1] >= '0' && rest[1] <= '9') || strncmp(rest, "-latest", 7) == 0);
}

static const struct provider_price *find_price(const struct provider *provider, const char *model)
{
	const struct provider_price *best = NULL;

	for (size_t i = 0; i < provider->nprices; i++) {
		const struct provider_price *price = &provider->price[i];
		size_t len = strlen(price->model);
		if (strncmp(model, price->model, len) == 0 && is_version(model + len) &&
		    (!best || len > strlen(best->model)))
			best = price;
	}
	return best;
}

enum provider_cost providers_cost(const struct provider *provider, const char *model,
    uint64_t input, uint64_t output, uint64_t *micro_r)
{
	const struct provider_price *price = find_price(provider, model);
	double each_input = price ? price->input : 0, each_output = price ? price->output : 0;

	for (size_t i = 0; !price && i < provider->nprices; i++) {
		each_input = fmax(each_input, provider->price[i].input);
		each_output = fmax(each_output, provider->price[i].output);
	}
	/* what a fraction in binary adds is not paid for */
	double micro = ceil((double)input * each_input + (double)output * each_output - 1e-6);
	*micro_r = micro > 0 ? (uint64_t)micro : 0;
	if (price)
		return PROVIDER_COST_LISTED;
	return provider->nprices > 0 ? PROVIDER_COST_HIGHEST : PROVIDER_COST_NONE;
}
