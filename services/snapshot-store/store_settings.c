#include "services/snapshot-store/store_settings.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "common/origin.h"

#define ROW(name, type, member, min, max, value, doc) \
	{ \
		"MULTICLAW_STORE_" name, SETTING_##type, offsetof(struct store_settings, member), \
		    min, max, value, doc \
	}
const struct setting store_settings_rows[] = {
    ROW("REPLICA", STR, replica, 1, 64, "sandbox-1",
	"Name of the sandbox of this host, which it serves; another one on each host."),
    ROW("SOCKET", PATH, socket, 0, 100, "",
	"Socket on which sandbox finds it; empty: run/<MULTICLAW_STORE_REPLICA>.store."),
    ROW("SANDBOX_USER", STR, sandbox_user, 0, 32, "",
	"User that sandbox runs as: may connect, besides root; empty: only root and who started "
	"it."),
    ROW("KIND", STR, kind, 1, 8, "file",
	"Where snapshots are kept: file (a folder) or s3 (an S3-compatible service)."),
    ROW("FOLDER", PATH, folder, 1, 200, "store",
	"Folder of kind file; hosts that agents move between share one."),
    ROW("S3_ENDPOINT", STR, endpoint, 0, 256, "",
	"URL of the service, without the bucket: https://s3.example."),
    ROW("S3_REGION", STR, region, 1, 64, "auto", "Region that requests are signed for."),
    ROW("S3_BUCKET", STR, bucket, 0, 63, "", "Bucket, which is there and holds nothing else."),
    ROW("S3_STYLE", STR, style, 1, 8, "path",
	"How the bucket is named: path (endpoint/bucket) or virtual (bucket.endpoint)."),
    ROW("S3_KEY_ID_FILE", PATH, key_id_file, 1, 256, "keys/store.id",
	"File with the id of the access key, that only this daemon's user or root can read."),
    ROW("S3_SECRET_KEY_FILE", PATH, secret_key_file, 1, 256, "keys/store.secret",
	"File with the secret access key, that only this daemon's user or root can read."),
    ROW("S3_CA_FILE", PATH, ca_file, 0, 256, "",
	"Certificates (PEM) that alone are trusted to vouch for the service; empty: the system's."),
    ROW("S3_ALLOW_HTTP", BOOL, allows_http, 0, 1, "no",
	"Whether an endpoint that is neither this machine nor a private address may be plain "
	"http."),
    ROW("S3_UPLOADS", UINT, uploads, 1, 64, "8",
	"How many large objects are sent at one time; each takes 16 MiB of memory."),
    ROW("S3_TRIES", UINT, tries, 1, 20, "5",
	"How often a request is tried while the service has trouble."),
    ROW("S3_STALL_S", UINT, stall_s, 1, 600, "30",
	"After so many seconds in which no byte moves a try is given up."),
};
const size_t store_settings_nrows = ARRAY_LEN(store_settings_rows);

bool store_settings_is_s3(const struct store_settings *settings)
{
	return strcmp(settings->kind, "s3") == 0;
}

static bool is_private_v4(uint32_t address)
{
	return address >> 24 == 127 || address >> 24 == 10 || address >> 20 == 0xac1 ||
	       address >> 16 == 0xc0a8 || address >> 16 == 0xa9fe;
}

static bool is_private_v6(const struct in6_addr *address)
{
	return IN6_IS_ADDR_LOOPBACK(address) || IN6_IS_ADDR_LINKLOCAL(address) ||
	       (address->s6_addr[0] & 0xfe) == 0xfc;
}

bool store_settings_is_near(const char *host)
{
	bool is_v6 = host[0] == '[';
	size_t len = is_v6 ? strcspn(host + 1, "]") : strcspn(host, ":");
	char name[ORIGIN_HOST_MAX + 1];
	struct in6_addr v6;
	struct in_addr v4;

	snprintf(name, sizeof(name), "%.*s", (int)len, host + is_v6);
	if (is_v6)
		return inet_pton(AF_INET6, name, &v6) == 1 && is_private_v6(&v6);
	if (inet_pton(AF_INET, name, &v4) == 1)
		return is_private_v4(ntohl(v4.s_addr));
	static const char suffix[] = ".localhost";
	return strcmp(name, "localhost") == 0 ||
	       (len >= sizeof(suffix) && strcmp(name + len - (sizeof(suffix) - 1), suffix) == 0);
}

static bool is_bucket(const char *name)
{
	size_t len = strlen(name);

	return len >= 3 && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789.-") == len &&
	       isalnum((unsigned char)name[0]) && isalnum((unsigned char)name[len - 1]) &&
	       !strstr(name, "..");
}

static int check_endpoint(const struct store_settings *settings, struct error *err)
{
	struct origin origin;
	struct error why = {0};

	if (origin_parse(settings->endpoint, &origin, &why) != 0)
		return error_set(err, ERR_INVALID,
		    "MULTICLAW_STORE_S3_ENDPOINT must be a URL without a path, as "
		    "https://s3.example: %s",
		    why.text);
	if (!origin.is_https && !settings->allows_http &&
	    !store_settings_is_near(origin_domain(&origin)))
		return error_set(err, ERR_INVALID,
		    "MULTICLAW_STORE_S3_ENDPOINT: plain http is for this machine and private "
		    "addresses; use https, or set MULTICLAW_STORE_S3_ALLOW_HTTP=yes: %s",
		    settings->endpoint);
	return 0;
}

static int check_s3(const struct store_settings *settings, struct error *err)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-";

	if (check_endpoint(settings, err) != 0)
		return -1;
	if (!is_bucket(settings->bucket))
		return error_set(err, ERR_INVALID,
		    "MULTICLAW_STORE_S3_BUCKET must be 3 to 63 of a-z 0-9 . -: %s",
		    settings->bucket);
	if (strspn(settings->region, letters) != strlen(settings->region))
		return error_set(err, ERR_INVALID,
		    "MULTICLAW_STORE_S3_REGION must be of a-z 0-9 -: %s", settings->region);
	if (strcmp(settings->style, "path") != 0 && strcmp(settings->style, "virtual") != 0)
		return error_set(err, ERR_INVALID,
		    "MULTICLAW_STORE_S3_STYLE must be path or virtual: %s", settings->style);
	return 0;
}

static int find_user(struct store_settings *settings, struct error *err)
{
	if (!settings->sandbox_user[0])
		return 0;
	const struct passwd *user = getpwnam(settings->sandbox_user);
	if (!user)
		return error_set(err, ERR_INVALID,
		    "MULTICLAW_STORE_SANDBOX_USER: there is no user %s", settings->sandbox_user);
	settings->sandbox_uid = user->pw_uid;
	settings->sandbox_gid = user->pw_gid;
	return 0;
}

static void fill_in_socket(struct store_settings *settings)
{
	if (settings->socket[0])
		return;
	free(settings->socket);
	int len = asprintf(&settings->socket, "run/%s.store", settings->replica);
	bug_if(len < 0);
}

int store_settings_finish(struct store_settings *settings, struct error *err)
{
	const char *replica = settings->replica;

	if (!isalnum((unsigned char)replica[0]) ||
	    strspn(replica, "abcdefghijklmnopqrstuvwxyz0123456789-._") != strlen(replica))
		return error_set(err, ERR_INVALID,
		    "MULTICLAW_STORE_REPLICA must be of a-z 0-9 - . _, first a letter or digit: %s",
		    replica);
	fill_in_socket(settings);
	if (strcmp(settings->kind, "file") != 0 && !store_settings_is_s3(settings))
		return error_set(err, ERR_INVALID, "MULTICLAW_STORE_KIND must be file or s3: %s",
		    settings->kind);
	if (store_settings_is_s3(settings) && check_s3(settings, err) != 0)
		return -1;
	return find_user(settings, err);
}
