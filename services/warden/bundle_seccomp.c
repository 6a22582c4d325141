#include "services/warden/bundle.h"

#include <string.h>

/* Part of the binary; the path is the compiler's working directory, the project's root. */
__asm__(".pushsection .rodata\n"
	"warden_seccomp:\n"
	".incbin \"services/warden/seccomp.json\"\n"
	".byte 0\n"
	".popsection\n");
extern const char warden_seccomp[] __attribute__((visibility("hidden")));

/* The kernel's own architecture alone: another one's system calls have other numbers, and each costs milliseconds at every start. */
#if defined(__x86_64__)
#define NATIVE "SCMP_ARCH_X86_64"
#elif defined(__aarch64__)
#define NATIVE "SCMP_ARCH_AARCH64"
#else
#error "no seccomp profile for this architecture"
#endif

json_t *bundle_seccomp(const char *path, struct error *err)
{
	json_error_t where;
	json_t *profile =
	    *path ? json_load_file(path, 0, &where) : json_loads(warden_seccomp, 0, &where);

	if (!profile) {
		error_set(err, ERR_INVALID, "seccomp profile %s, line %d: %s", path, where.line,
		    where.text);
		return NULL;
	}
	if (!json_is_string(json_object_get(profile, "defaultAction")) ||
	    !json_is_array(json_object_get(profile, "syscalls")) ||
	    json_object_get(profile, "archMap")) {
		json_decref(profile);
		error_set(err, ERR_INVALID,
		    "seccomp profile %s: is not the OCI's linux.seccomp (Docker's form is another)",
		    path);
		return NULL;
	}
	if (!json_object_get(profile, "architectures"))
		json_object_set_new(profile, "architectures", json_pack("[s]", NATIVE));
	return profile;
}
