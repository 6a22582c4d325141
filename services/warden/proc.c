#include "services/warden/proc.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
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

uint64_t proc_written(pid_t pid)
{
	char path[64], text[512];

	snprintf(path, sizeof(path), "/proc/%d/io", (int)pid);
	scoped_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
	text[len > 0 ? len : 0] = '\0';
	const char *at = strstr(text, "wchar: ");
	return at ? strtoull(at + strlen("wchar: "), NULL, 10) : 0;
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

/* ---- for people ---- */

/* One word, or line, of a file; "" if there is none. */
static void read_line(const char *path, char *text, size_t size)
{
	scoped_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len = fd >= 0 ? read(fd, text, size - 1) : -1;

	text[len > 0 ? len : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
}

__attribute__((format(printf, 3, 4))) static void append(
    char *text, size_t size, const char *fmt, ...)
{
	size_t len = strlen(text);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text + len, size - len, fmt, ap);
	va_end(ap);
}

static char state_of(const char *task)
{
	char path[PROC_TASK_LEN + 16], text[256];

	snprintf(path, sizeof(path), "%s/stat", task);
	read_line(path, text, sizeof(text));
	const char *end = strrchr(text, ')');
	return end && end[1] == ' ' ? end[2] : '?';
}

void proc_describe(pid_t pid, char *text, size_t size)
{
	char path[64], task[PROC_TASK_LEN], name[24], where[40];

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	read_line(path, name, sizeof(name));
	snprintf(text, size, "%s %d:", name, (int)pid);
	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	DIR *tasks = opendir(path);
	for (struct dirent *each; tasks && (each = readdir(tasks));) {
		if (each->d_name[0] == '.')
			continue;
		snprintf(task, sizeof(task), "/proc/%d/task/%.12s", (int)pid, each->d_name);
		snprintf(path, sizeof(path), "%s/wchan", task);
		read_line(path, where, sizeof(where));
		append(text, size, " %c in %s", state_of(task), where);
	}
	if (tasks)
		closedir(tasks);
}

void proc_list_mount(const char *path, char *text, size_t size)
{
	char file[64], name[24];
	DIR *all = opendir("/proc");

	text[0] = '\0';
	for (struct dirent *each; all && (each = readdir(all));) {
		pid_t pid = (pid_t)strtol(each->d_name, NULL, 10);
		if (pid <= 0 || !proc_has_mount(pid, path))
			continue;
		snprintf(file, sizeof(file), "/proc/%d/comm", (int)pid);
		read_line(file, name, sizeof(name));
		append(text, size, "%s%d %s", text[0] ? ", " : "", (int)pid, name);
	}
	if (all)
		closedir(all);
}
