#include "services/warden/record.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/scoped.h"
#include "services/warden/image.h"
#include "services/warden/packet.h"

#define AGENT_LETTERS "abcdefghijklmnopqrstuvwxyz234567"

static int make_path(char path[400], const char *run, const char *agent, const char *end)
{
	int len = snprintf(path, 400, "%s/agents/%s%s", run, agent, end);

	return len < 400 ? 0 : -1;
}

static json_t *write_ranges(const struct record *record)
{
	json_t *ranges = json_array();
	char address[INET_ADDRSTRLEN], text[INET_ADDRSTRLEN + 3];

	for (uint32_t i = 0; i < record->nranges; i++) {
		inet_ntop(AF_INET, &record->range[i].address, address, sizeof(address));
		snprintf(text, sizeof(text), "%s/%u", address, record->range[i].bits);
		json_array_append_new(ranges, json_string(text));
	}
	return ranges;
}

int record_write(const char *run, const struct record *record, struct error *err)
{
	char path[400], new_path[400];
	scoped_json json_t *root =
	    json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:b, s:b, s:I, "
		      "s:I, s:I, s:I, s:I, s:I}",
		"agent", record->agent, "boot", record->boot, "image", record->image, "wallet",
		record->wallet, "kind", record->kind, "period", (json_int_t)record->period,
		"connections", (json_int_t)record->connections, "started_ms",
		(json_int_t)record->started_ms, "slot", (json_int_t)record->slot, "is_narrowed",
		record->is_narrowed, "is_ready", record->is_ready, "pid", (json_int_t)record->pid,
		"pid_number", (json_int_t)record->pid_number, "log_device",
		(json_int_t)record->log_device, "log_inode", (json_int_t)record->log_inode, "uid",
		(json_int_t)record->uid, "gid", (json_int_t)record->gid);

	bug_if(!root || json_object_set_new(root, "ranges", write_ranges(record)) != 0);
	snprintf(path, sizeof(path), "%s/agents", run);
	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		return error_set(err, ERR_UNAVAILABLE, "%s: %s", path, strerror(errno));
	if (make_path(path, run, record->agent, ".json") != 0 ||
	    make_path(new_path, run, record->agent, ".new") != 0 ||
	    json_dump_file(root, new_path, JSON_INDENT(1)) != 0 || rename(new_path, path) != 0)
		return error_set(err, ERR_UNAVAILABLE, "%s: %s", path, strerror(errno));
	return 0;
}

void record_remove(const char *run, const char *agent)
{
	char path[400];

	if (make_path(path, run, agent, ".json") == 0)
		unlink(path);
	if (make_path(path, run, agent, ".new") == 0)
		unlink(path);
}

static void take_text(char *to, size_t size, const json_t *root, const char *name)
{
	const char *text = json_string_value(json_object_get(root, name));

	packet_put(to, size, text ? text : "");
}

static uint64_t number(const json_t *root, const char *name)
{
	return (uint64_t)json_integer_value(json_object_get(root, name));
}

/* What cannot be read is not let through. */
static void read_ranges(struct record *record, const json_t *ranges)
{
	struct error err;
	size_t i;
	json_t *each;

	json_array_foreach(ranges, i, each)
	{
		const char *text = json_string_value(each);
		bool is_v4 = false;
		if (text && record->nranges < NETWORK_RANGES_MAX &&
		    cidr_parse(text, &record->range[record->nranges], &is_v4, &err) == 0 && is_v4)
			record->nranges++;
	}
	record->nranges = (uint32_t)cidr_distinct(record->range, record->nranges);
}

/* Of before these were noted: as of an image that names nobody. */
static void take_user(struct record *record, const json_t *root)
{
	bool is_noted = json_object_get(root, "uid") != NULL;

	record->uid = is_noted ? (uint32_t)number(root, "uid") : IMAGE_USER;
	record->gid = is_noted ? (uint32_t)number(root, "gid") : IMAGE_USER;
}

static void read_one(const char *path, struct record *record)
{
	scoped_json json_t *root = json_load_file(path, 0, NULL);

	record->slot = UINT32_MAX;
	if (!root)
		return;
	take_text(record->boot, sizeof(record->boot), root, "boot");
	take_text(record->image, sizeof(record->image), root, "image");
	take_text(record->wallet, sizeof(record->wallet), root, "wallet");
	take_text(record->kind, sizeof(record->kind), root, "kind");
	record->period = number(root, "period");
	record->connections = number(root, "connections");
	record->started_ms = number(root, "started_ms");
	record->slot = (uint32_t)number(root, "slot");
	record->is_narrowed = json_is_true(json_object_get(root, "is_narrowed"));
	record->is_ready = json_is_true(json_object_get(root, "is_ready"));
	record->pid = (pid_t)number(root, "pid");
	record->pid_number = number(root, "pid_number");
	record->log_device = number(root, "log_device");
	record->log_inode = number(root, "log_inode");
	take_user(record, root);
	read_ranges(record, json_object_get(root, "ranges"));
}

int record_each(const char *run, void (*on_record)(void *arg, const struct record *record),
    void *arg, struct error *err)
{
	char path[400];

	snprintf(path, sizeof(path), "%s/agents", run);
	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		return error_set(err, ERR_UNAVAILABLE, "%s: %s", path, strerror(errno));
	DIR *dir = opendir(path);
	if (!dir)
		return error_set(err, ERR_UNAVAILABLE, "%s: %s", path, strerror(errno));
	for (struct dirent *entry; (entry = readdir(dir));) {
		struct record record = {.agent = ""};
		size_t len = strspn(entry->d_name, AGENT_LETTERS);
		/* a warden was killed while it wrote this */
		if (len == 32 && strcmp(entry->d_name + len, ".new") == 0)
			unlinkat(dirfd(dir), entry->d_name, 0);
		if (len != 32 || strcmp(entry->d_name + len, ".json") != 0)
			continue;
		memcpy(record.agent, entry->d_name, len);
		if (make_path(path, run, record.agent, ".json") != 0)
			continue;
		read_one(path, &record);
		on_record(arg, &record);
	}
	closedir(dir);
	return 0;
}
