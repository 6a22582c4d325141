#include "services/warden/slots.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"

struct slot {
	bool is_taken;
	uint64_t rests_until_ms; /* CLOCK_BOOTTIME */
};

struct slots {
	char folder[400];
	uint32_t n, next;
	uint64_t rest_ms;
	struct slot slot[];
};

/* An empty file for each number that is taken or rests; when it was touched last says until when. Its clock may have been set: never longer than a whole rest. */
static void read_folder(struct slots *slots, DIR *dir)
{
	uint64_t now = clock_unix_ms();
	struct stat about;

	for (struct dirent *entry; (entry = readdir(dir));) {
		char *end;
		unsigned long number = strtoul(entry->d_name, &end, 10);
		if (*end || end == entry->d_name || number >= slots->n ||
		    fstatat(dirfd(dir), entry->d_name, &about, AT_SYMLINK_NOFOLLOW) != 0)
			continue;
		uint64_t touched = (uint64_t)about.st_mtim.tv_sec * 1000;
		uint64_t ago = now > touched ? now - touched : 0;
		if (ago >= slots->rest_ms)
			unlinkat(dirfd(dir), entry->d_name, 0);
		else
			slots->slot[number].rests_until_ms = clock_boot_ms() + slots->rest_ms - ago;
	}
}

static void touch(const struct slots *slots, uint32_t slot)
{
	char path[440];

	snprintf(path, sizeof(path), "%s/%u", slots->folder, slot);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd >= 0) {
		futimens(fd, NULL);
		close(fd);
	}
}

struct slots *slots_new(const char *folder, uint32_t n, uint64_t rest_s, struct error *err)
{
	struct slots *slots = calloc(1, sizeof(*slots) + n * sizeof(slots->slot[0]));

	bug_if(!slots);
	snprintf(slots->folder, sizeof(slots->folder), "%s/slots", folder);
	slots->n = n;
	slots->rest_ms = rest_s * 1000;
	if (mkdir(slots->folder, 0700) != 0 && errno != EEXIST) {
		error_set(err, ERR_UNAVAILABLE, "%s: %s", slots->folder, strerror(errno));
		slots_destroy(&slots);
		return NULL;
	}
	DIR *dir = opendir(slots->folder);
	if (dir) {
		read_folder(slots, dir);
		closedir(dir);
	}
	return slots;
}

void slots_destroy(struct slots **slots)
{
	free(*slots);
	*slots = NULL;
}

static void forget(const struct slots *slots, uint32_t slot)
{
	char path[440];

	snprintf(path, sizeof(path), "%s/%u", slots->folder, slot);
	unlink(path);
}

int slots_take(struct slots *slots, uint32_t *slot_r, struct error *err)
{
	uint64_t now = clock_boot_ms(), soonest = UINT64_MAX;

	for (uint32_t i = 0; i < slots->n; i++) {
		uint32_t number = (slots->next + i) % slots->n;
		struct slot *slot = &slots->slot[number];
		if (slot->is_taken)
			continue;
		if (slot->rests_until_ms > now) {
			soonest = slot->rests_until_ms < soonest ? slot->rests_until_ms : soonest;
			continue;
		}
		slot->is_taken = true;
		slots->next = (number + 1) % slots->n;
		touch(slots, number);
		*slot_r = number;
		return 0;
	}
	if (soonest == UINT64_MAX)
		return error_set(err, ERR_BUSY, "every address of this host is in use");
	return error_set(err, ERR_BUSY, "no address of this host is free for another %u s",
	    (unsigned)((soonest - now) / 1000 + 1));
}

void slots_keep(struct slots *slots, uint32_t slot)
{
	if (slot < slots->n)
		slots->slot[slot].is_taken = true;
}

void slots_give(struct slots *slots, uint32_t slot)
{
	if (slot >= slots->n)
		return;
	slots->slot[slot].is_taken = false;
	slots->slot[slot].rests_until_ms = clock_boot_ms() + slots->rest_ms;
	if (slots->rest_ms)
		touch(slots, slot);
	else
		forget(slots, slot);
}
