/* memory - the notes that the agent keeps: one file, replaced whole. */
#ifndef DEMO_AGENT_MEMORY_H
#define DEMO_AGENT_MEMORY_H

#include <stddef.h>

#define NOTES_FOLDER "notes" /* below the agent's data */
#define MEMORY_FILE "memory.txt"

/* At most MEMORY_MAX bytes; no file is no notes. folder: open, or -1. Returns 0, or -1 with errno. */
int memory_read(int folder, char *bytes, size_t *len_r);
int memory_write(int folder, const char *bytes, size_t len);

#endif
