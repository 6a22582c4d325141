/* scoped - locals that clean up after themselves, so that no function needs an exit ladder. */
#ifndef COMMON_SCOPED_H
#define COMMON_SCOPED_H

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void scoped_free_fn(void *p)
{
	free(*(void **)p);
}
static inline void scoped_fd_fn(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}
static inline void scoped_file_fn(FILE **f)
{
	if (*f)
		fclose(*f);
}
static inline void scoped_json_fn(json_t **j)
{
	json_decref(*j);
}

#define scoped_free __attribute__((cleanup(scoped_free_fn)))
#define scoped_fd __attribute__((cleanup(scoped_fd_fn)))
#define scoped_file __attribute__((cleanup(scoped_file_fn)))
#define scoped_json __attribute__((cleanup(scoped_json_fn)))

#endif
