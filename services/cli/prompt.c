#include "services/cli/prompt.h"

#include <errno.h>
#include <openssl/ui.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "services/cli/cli.h"

static ssize_t read_all(int fd, uint8_t *bytes, size_t size)
{
	size_t len = 0;

	while (len < size) {
		ssize_t n = read(fd, bytes + len, size - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	return (ssize_t)len;
}

struct secret *prompt_read(int fd, const struct prompt *prompt, struct error *err)
{
	/* a newline more, and one to see that there is more */
	size_t size = prompt->max + 2;
	uint8_t *bytes = sodium_malloc(size);
	struct secret *secret = NULL;

	bug_if(!bytes);
	ssize_t len = read_all(fd, bytes, size);
	if (len > 0 && bytes[len - 1] == '\n')
		len--;
	if (len < 0)
		error_set(
		    err, ERR_UNAVAILABLE, "cannot read %s: %s", prompt->what, strerror(errno));
	else if (len == 0)
		error_set(err, ERR_INVALID, "%s is empty", prompt->what);
	else if ((size_t)len > prompt->max)
		error_set(
		    err, ERR_INVALID, "%s has more than %zu bytes", prompt->what, prompt->max);
	else if (memchr(bytes, '\0', (size_t)len))
		error_set(err, ERR_INVALID, "%s has a NUL byte in it", prompt->what);
	else
		secret = secret_new(bytes, (size_t)len);
	sodium_free(bytes);
	return secret;
}

/* OpenSSL's prompt gives the terminal back as it was, whatever signal comes. */
static struct secret *type(const struct prompt *prompt, struct error *err)
{
	char text[PROMPT_TYPED_MAX + 2], question[160];
	struct secret *secret = NULL;

	snprintf(question, sizeof(question), "%s: ", prompt->question);
	int rc = UI_UTIL_read_pw_string(text, sizeof(text), question, prompt->twice);
	if (rc != 0)
		error_set(err, ERR_INVALID,
		    "%s was not typed%s; standard input takes more than %d bytes", prompt->what,
		    prompt->twice ? " twice the same" : "", PROMPT_TYPED_MAX);
	else if (text[0] == '\0')
		error_set(err, ERR_INVALID, "%s is empty", prompt->what);
	else if (strlen(text) > prompt->max || strlen(text) > PROMPT_TYPED_MAX)
		error_set(err, ERR_INVALID, "%s is too long", prompt->what);
	else
		secret = secret_new(text, strlen(text));
	sodium_memzero(text, sizeof(text));
	return secret;
}

struct secret *prompt_secret(const struct prompt *prompt, struct error *err)
{
	return isatty(STDIN_FILENO) ? type(prompt, err) : prompt_read(STDIN_FILENO, prompt, err);
}

int prompt_confirm(bool is_yes, const char *question)
{
	char answer[16] = "";

	if (is_yes)
		return CLI_OK;
	if (!isatty(STDIN_FILENO))
		return cli_usage("this asks first, and there is no terminal: --yes says yes");
	fprintf(stderr, "%s [y/N] ", question);
	fflush(stderr);
	if (fgets(answer, sizeof(answer), stdin) &&
	    (strcasecmp(answer, "y\n") == 0 || strcasecmp(answer, "yes\n") == 0))
		return CLI_OK;
	fputs("multiclaw: nothing was done\n", stderr);
	return CLI_FAILED;
}
