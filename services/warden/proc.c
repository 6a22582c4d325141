#include "services/warden/proc.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>

#include "common/scoped.h"

#define STARTED_FIELD 22

uint64_t proc_started_at(pid_t pid)
{
	char path[64], text[1024];

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	scoped_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
	text[len > 0 ? len : 0] = '\0';
	/* the name, field 2, may hold anything but ends at the last parenthesis */
	char *at = strrchr(text, ')');
	for (int field = 2; at && field < STARTED_FIELD; field++)
		at = strchr(at + 1, ' ');
	return at ? strtoull(at + 1, NULL, 10) : 0;
}

/* Its first thread may be gone while another is still at its end. */
int proc_mount_space(pid_t pid, char path[PROC_TASK_LEN])
{
	char name[PROC_TASK_LEN + 8];
	int space = -1;

	snprintf(path, PROC_TASK_LEN, "/proc/%d/task", (int)pid);
	DIR *tasks = opendir(path);
	for (struct dirent *task; space < 0 && tasks && (task = readdir(tasks));) {
		if (task->d_name[0] == '.')
			continue;
		snprintf(path, PROC_TASK_LEN, "/proc/%d/task/%.12s", (int)pid, task->d_name);
		snprintf(name, sizeof(name), "%s/ns/mnt", path);
		space = open(name, O_RDONLY | O_CLOEXEC);
	}
	if (tasks)
		closedir(tasks);
	return space;
}

bool proc_has_mount(pid_t pid, const char *path)
{
	char task[PROC_TASK_LEN], file[PROC_TASK_LEN + 16], point[256];
	scoped_free char *line = NULL;
	size_t room = 0, len = strlen(path);
	bool has = false;

	scoped_fd int space = proc_mount_space(pid, task);
	if (space < 0)
		return false;
	snprintf(file, sizeof(file), "%s/mountinfo", task);
	scoped_file FILE *mounts = fopen(file, "re");
	while (mounts && !has && getline(&line, &room, mounts) > 0)
		has = sscanf(line, "%*s %*s %*s %*s %255s", point) == 1 &&
		      strncmp(point, path, len) == 0 && (point[len] == '\0' || point[len] == '/');
	return has;
}
