#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/scoped.h"
#include "services/warden/bundle.h"
#include "services/warden/filter.h"

#define DIGEST "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static json_t *config_of(const char *kind)
{
	static const char text[] = "{\"digest\":\"" DIGEST "\",\"cmd\":[\"/a\"],\"env\":[\"A=b\","
				   "\"HOME=/root\",\"MULTICLAW_SECRETS=/x\",\"OPENCLAW_X=y\"]}";
	struct image image;
	struct error err = {0};
	scoped_json json_t *seccomp = bundle_seccomp("", &err);
	struct bundle bundle = {.agent = "agent",
	    .kind = kind,
	    .image = &image,
	    .work = "/w",
	    .cgroup = "/c",
	    .netns = "/n",
	    .uid_base = 1073741824,
	    .port = 18789,
	    .files = 1024,
	    .limits = {.memory_bytes = 1 << 28, .pids = 10, .cpu_percent = 50},
	    .seccomp = seccomp};

	assert_non_null(seccomp);
	assert_int_equal(image_parse(text, strlen(text), DIGEST, &image, &err), 0);
	json_t *config = bundle_config(&bundle);
	image_free(&image);
	return config;
}

static bool has_variable(const json_t *config, const char *variable)
{
	const json_t *list = json_object_get(json_object_get(config, "process"), "env");

	for (size_t i = 0; i < json_array_size(list); i++)
		if (strcmp(json_string_value(json_array_get(list, i)), variable) == 0)
			return true;
	return false;
}

static void gives_no_capability_and_an_init(void **state)
{
	scoped_json json_t *config = config_of("");
	const json_t *process = json_object_get(config, "process"), *set;
	const char *name;

	(void)state;
	assert_true(json_is_true(json_object_get(process, "noNewPrivileges")));
	assert_int_equal(json_object_size(json_object_get(process, "capabilities")), 5);
	json_object_foreach((json_t *)(uintptr_t)json_object_get(process, "capabilities"), name,
	    set) assert_int_equal(json_array_size(set), 0);
	assert_string_equal(
	    json_string_value(json_array_get(json_object_get(process, "args"), 0)), "/dev/init");
	assert_true(json_is_true(json_object_get(json_object_get(config, "root"), "readonly")));
}

static void lets_no_image_say_where_secrets_are(void **state)
{
	scoped_json json_t *plain = config_of(""), *openclaw = config_of("openclaw");

	(void)state;
	assert_true(has_variable(plain, "A=b"));
	assert_true(has_variable(plain, "HOME=/data"));
	assert_true(has_variable(plain, "MULTICLAW_SECRETS=/run/secrets"));
	assert_false(has_variable(plain, "HOME=/root"));
	assert_false(has_variable(plain, "MULTICLAW_SECRETS=/x"));
	assert_false(has_variable(plain, "OPENCLAW_X=y"));
	assert_false(has_variable(plain, "OPENCLAW_STATE_DIR=/data/.openclaw"));
	assert_true(has_variable(openclaw, "OPENCLAW_STATE_DIR=/data/.openclaw"));
}

static void maps_every_id_and_has_every_namespace(void **state)
{
	scoped_json json_t *config = config_of("");
	const json_t *part = json_object_get(config, "linux");
	const json_t *map = json_array_get(json_object_get(part, "uidMappings"), 0);

	(void)state;
	assert_int_equal(json_array_size(json_object_get(part, "namespaces")), 7);
	assert_int_equal(json_integer_value(json_object_get(map, "hostID")), 1073741824);
	assert_int_equal(json_integer_value(json_object_get(map, "size")), 65536);
}

static bool allows(const json_t *profile, const char *call)
{
	const json_t *rules = json_object_get(profile, "syscalls");

	for (size_t i = 0; i < json_array_size(rules); i++) {
		const json_t *rule = json_array_get(rules, i);
		const json_t *names = json_object_get(rule, "names");
		if (json_object_get(rule, "args") ||
		    strcmp(json_string_value(json_object_get(rule, "action")), "SCMP_ACT_ALLOW") !=
			0)
			continue;
		for (size_t n = 0; n < json_array_size(names); n++)
			if (strcmp(json_string_value(json_array_get(names, n)), call) == 0)
				return true;
	}
	return false;
}

static void denies_what_breaks_out(void **state)
{
	static const char *const denied[] = {"clone", "clone3", "unshare", "setns", "mount",
	    "umount2", "move_mount", "open_tree", "fsopen", "pivot_root", "keyctl", "add_key",
	    "request_key", "ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd", "bpf",
	    "userfaultfd", "io_uring_setup", "io_uring_enter", "perf_event_open", "socket",
	    "open_by_handle_at", "fanotify_init", "kexec_load", "init_module", "reboot", "swapon",
	    "chroot", "vmsplice"};
	struct error err = {0};
	scoped_json json_t *profile = bundle_seccomp("", &err);
	struct sock_fprog program = {0};

	(void)state;
	assert_non_null(profile);
	for (size_t i = 0; i < ARRAY_LEN(denied); i++)
		assert_false(allows(profile, denied[i]));
	assert_true(allows(profile, "openat"));
	assert_int_equal(filter_compile(profile, &program, &err), 0);
	assert_true(program.len > 100);
	free(program.filter);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(gives_no_capability_and_an_init),
	    cmocka_unit_test(lets_no_image_say_where_secrets_are),
	    cmocka_unit_test(maps_every_id_and_has_every_namespace),
	    cmocka_unit_test(denies_what_breaks_out)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
