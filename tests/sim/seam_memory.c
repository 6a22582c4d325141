/* libsodium's guarded memory, as plain memory: a process that starts here is not one to the kernel, and its pages cost more than all else it does. */
#include <sodium.h>
#include <stdlib.h>

void *sodium_malloc(const size_t size)
{
	return malloc(size ? size : 1);
}

void sodium_free(void *mem)
{
	free(mem);
}

int sodium_mprotect_readonly(void *mem)
{
	(void)mem;
	return 0;
}
