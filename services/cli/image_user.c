#include "services/cli/image_user.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#include "common/scoped.h"
#include "services/cli/image_spec.h"

#define FILE_MAX (1024 * 1024)
#define FIELDS 4

/* Links in an image lead nowhere but into it. Returns its text, "" if there is none. */
static char *read_file(int folder, const char *name)
{
	const struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
	    .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
	scoped_fd int fd = (int)syscall(SYS_openat2, folder, name, &how, sizeof(how));
	char *text = malloc(FILE_MAX + 1);
	size_t len = 0;

	bug_if(!text);
	for (ssize_t n = 1; fd >= 0 && n > 0 && len<FILE_MAX; len += n> 0 ? (size_t)n : 0)
		n = read(fd, text + len, FILE_MAX - len);
	text[len] = '\0';
	return text;
}

static bool parse_id(const char *text, unsigned *id_r)
{
	size_t len = strlen(text);

	*id_r = 0;
	if (len == 0 || len > 5 || strspn(text, "0123456789") != len)
		return false;
	for (; *text; text++)
		*id_r = *id_r * 10 + (unsigned)(*text - '0');
	return *id_r <= IMAGE_ID_MAX;
}

/* The first four fields of a line; false: it has fewer. Cuts it up. */
static bool cut(char *line, char *field[FIELDS])
{
	for (size_t i = 0; i < FIELDS; i++) {
		field[i] = strsep(&line, ":");
		if (!field[i] || (!line && i < 2))
			return false;
	}
	return true;
}

struct found {
	unsigned id, group; /* group: of a user */
};

/* By its name or number. */
static bool look_up(int folder, const char *file, const char *key, struct found *found_r)
{
	scoped_free char *text = read_file(folder, file);
	char *at = text, *line, *field[FIELDS];
	unsigned number, wanted;
	bool by_number = parse_id(key, &wanted);

	while ((line = strsep(&at, "\n"))) {
		if (!cut(line, field) || !parse_id(field[2], &number))
			continue;
		if (by_number ? number != wanted : strcmp(field[0], key) != 0)
			continue;
		found_r->id = number;
		if (!parse_id(field[3], &found_r->group))
			found_r->group = 0;
		return true;
	}
	return false;
}

int image_user_resolve(
    int folder, const char *user, char text_r[IMAGE_USER_TEXT_MAX], struct error *err)
{
	char copy[IMAGE_USER_MAX + 1], *group = copy;
	struct found found = {0}, found_group;

	snprintf(copy, sizeof(copy), "%s", user);
	const char *name = strsep(&group, ":");
	if (!name[0])
		name = "0";
	unsigned id;
	if (!look_up(folder, "etc/passwd", name, &found)) {
		if (!parse_id(name, &id))
			return error_refuse(err, ERR_INVALID, "image_invalid",
			    "the image's User '%.64s' is neither a number up to %d nor in its "
			    "/etc/passwd",
			    name, IMAGE_ID_MAX);
		found = (struct found){id, 0};
	}
	if (group && group[0]) {
		if (look_up(folder, "etc/group", group, &found_group))
			found.group = found_group.id;
		else if (parse_id(group, &id))
			found.group = id;
		else
			return error_refuse(err, ERR_INVALID, "image_invalid",
			    "the image's group '%.64s' is neither a number up to %d nor in its "
			    "/etc/group",
			    group, IMAGE_ID_MAX);
	}
	snprintf(text_r, IMAGE_USER_TEXT_MAX, "%u:%u", found.id, found.group);
	return 0;
}
