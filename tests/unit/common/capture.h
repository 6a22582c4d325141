/* capture - what a piece of a test wrote to standard error. */
#ifndef TESTS_CAPTURE_H
#define TESTS_CAPTURE_H

#include <stdio.h>
#include <unistd.h>

struct capture {
	FILE *file;
	int saved;
};

static inline struct capture capture_begin(void)
{
	struct capture capture = {tmpfile(), dup(STDERR_FILENO)};

	dup2(fileno(capture.file), STDERR_FILENO);
	return capture;
}

/* Gives standard error back; buf gets what was written, NUL-terminated, cut to size. Returns its length. */
static inline size_t capture_end(struct capture *capture, char *buf, size_t size)
{
	dup2(capture->saved, STDERR_FILENO);
	close(capture->saved);
	rewind(capture->file);
	size_t len = fread(buf, 1, size - 1, capture->file);
	fclose(capture->file);
	buf[len] = '\0';
	return len;
}

#endif
