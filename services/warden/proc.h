/* proc - what /proc says of a process. */
#ifndef WARDEN_PROC_H
#define WARDEN_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Field 22 of its stat: with the id, which process it is, among all that had the id. 0: there is none. */
uint64_t proc_started_at(pid_t pid);
/* How many bytes it has written, to whatever, since it was started; 0: not known. */
uint64_t proc_written(pid_t pid);
#define PROC_TASK_LEN 48
/* The mount namespace that one of its threads is in still, and that thread's folder; -1: there is none. */
int proc_mount_space(pid_t pid, char path[PROC_TASK_LEN]);
/* For people: "gocryptfs 17: D in request_wait_answer, S in futex_wait_queue ..." of its threads, cut to what fits. */
void proc_describe(pid_t pid, char *text, size_t size);
/* Processes whose mount namespace has a mount below path: "17 runc, 18 sh ...", cut to what fits; "" if there is none. */
void proc_list_mount(const char *path, char *text, size_t size);
/* Does its mount namespace have a mount at path, or below? */
bool proc_has_mount(pid_t pid, const char *path);

#endif
