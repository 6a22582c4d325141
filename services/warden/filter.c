#include "services/warden/filter.h"

#include <errno.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/scoped.h"

#define ARGS_MAX 6

static int bad(struct error *err, const char *what, const char *text)
{
	return error_set(
	    err, ERR_INVALID, "seccomp profile: %s %s", what, text ? text : "is missing");
}

static int action_of(const char *name, const json_t *number, uint32_t *action_r, struct error *err)
{
	unsigned value = number ? (unsigned)json_integer_value(number) : EPERM;

	if (name && strcmp(name, "SCMP_ACT_ALLOW") == 0)
		*action_r = SCMP_ACT_ALLOW;
	else if (name && strcmp(name, "SCMP_ACT_ERRNO") == 0)
		*action_r = SCMP_ACT_ERRNO(value);
	else if (name && strcmp(name, "SCMP_ACT_KILL_PROCESS") == 0)
		*action_r = SCMP_ACT_KILL_PROCESS;
	else
		return bad(err, "action", name);
	return 0;
}

static int compare_of(const json_t *arg, struct scmp_arg_cmp *to, struct error *err)
{
	static const struct {
		const char *name;
		enum scmp_compare op;
	} ops[] = {{"SCMP_CMP_NE", SCMP_CMP_NE}, {"SCMP_CMP_LT", SCMP_CMP_LT},
	    {"SCMP_CMP_LE", SCMP_CMP_LE}, {"SCMP_CMP_EQ", SCMP_CMP_EQ},
	    {"SCMP_CMP_GE", SCMP_CMP_GE}, {"SCMP_CMP_GT", SCMP_CMP_GT},
	    {"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ}};
	const char *name = json_string_value(json_object_get(arg, "op"));

	for (size_t i = 0; name && i < ARRAY_LEN(ops); i++) {
		if (strcmp(ops[i].name, name) != 0)
			continue;
		to->arg = (unsigned)json_integer_value(json_object_get(arg, "index"));
		to->op = ops[i].op;
		to->datum_a = (scmp_datum_t)json_integer_value(json_object_get(arg, "value"));
		to->datum_b = (scmp_datum_t)json_integer_value(json_object_get(arg, "valueTwo"));
		return to->arg < ARGS_MAX ? 0 : bad(err, "argument of", name);
	}
	return bad(err, "comparison", name);
}

static int add_rule(
    scmp_filter_ctx context, uint32_t otherwise, const json_t *rule, struct error *err)
{
	const json_t *names = json_object_get(rule, "names"), *args = json_object_get(rule, "args");
	struct scmp_arg_cmp compare[ARGS_MAX];
	size_t i, nargs = json_array_size(args);
	uint32_t action = 0;
	json_t *name;

	if (action_of(json_string_value(json_object_get(rule, "action")),
		json_object_get(rule, "errnoRet"), &action, err) != 0)
		return -1;
	if (action == otherwise)
		return 0;
	for (i = 0; i < nargs && i < ARGS_MAX; i++)
		if (compare_of(json_array_get(args, i), &compare[i], err) != 0)
			return -1;
	json_array_foreach(names, i, name)
	{
		const char *text = json_string_value(name);
		int number = text ? seccomp_syscall_resolve_name(text) : __NR_SCMP_ERROR;
		/* of another architecture */
		if (number < 0)
			continue;
		if (seccomp_rule_add_array(context, action, number, (unsigned)nargs, compare) != 0)
			return bad(err, "rule of", text);
	}
	return 0;
}

static int export(scmp_filter_ctx context, struct sock_fprog *program_r, struct error *err)
{
	scoped_fd int fd = memfd_create("filter", MFD_CLOEXEC);

	if (fd < 0 || seccomp_export_bpf(context, fd) != 0)
		return bad(err, "does not", "compile");
	off_t len = lseek(fd, 0, SEEK_END);
	struct sock_filter *program = malloc((size_t)len);
	bug_if(!program);
	if (pread(fd, program, (size_t)len, 0) != len) {
		free(program);
		return bad(err, "cannot be", "read");
	}
	program_r->filter = program;
	program_r->len = (unsigned short)((size_t)len / sizeof(*program));
	return 0;
}

int filter_compile(const json_t *profile, struct sock_fprog *program_r, struct error *err)
{
	uint32_t otherwise = 0;
	json_t *rule;
	size_t i;

	if (action_of(json_string_value(json_object_get(profile, "defaultAction")),
		json_object_get(profile, "defaultErrnoRet"), &otherwise, err) != 0)
		return -1;
	scmp_filter_ctx context = seccomp_init(otherwise);
	bug_if(!context);
	int status = 0;
	json_array_foreach(json_object_get(profile, "syscalls"), i, rule)
	{
		status = add_rule(context, otherwise, rule, err);
		if (status != 0)
			break;
	}
	if (status == 0)
		status = export(context, program_r, err);
	seccomp_release(context);
	return status;
}
