#include "services/cli/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/error.h"

#define BAR 20

char *progress_size(uint64_t bytes, char buf[PROGRESS_SIZE_MAX])
{
	static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double n = (double)bytes / 1024;
	size_t unit = 0;

	if (bytes < 1024) {
		snprintf(buf, PROGRESS_SIZE_MAX, "%u B", (unsigned)bytes);
		return buf;
	}
	/* 1023.95 would be written as 1024.0 */
	for (; n >= 1023.95 && unit < ARRAY_LEN(units) - 1; unit++)
		n /= 1024;
	snprintf(buf, PROGRESS_SIZE_MAX, "%.1f %s", n, units[unit]);
	return buf;
}

static const char *word_for(const char *doing)
{
	static const char *const words[][2] = {
	    {"snapshot", "saving"},
	    {"restore", "restoring"},
	    {"hand_over", "saving for the next owner"},
	};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strcmp(words[i][0], doing) == 0)
			return words[i][1];
	return "working";
}

char *progress_text(const char *doing, uint64_t done, uint64_t total, char buf[PROGRESS_TEXT_MAX])
{
	static const char full[] = "####################", empty[] = "--------------------";
	char part[PROGRESS_SIZE_MAX], all[PROGRESS_SIZE_MAX];

	_Static_assert(sizeof(full) == BAR + 1 && sizeof(empty) == BAR + 1, "a bar's width");
	progress_size(done, part);
	if (total == 0 || done > total) {
		snprintf(buf, PROGRESS_TEXT_MAX, "%s, %s so far", word_for(doing), part);
		return buf;
	}
	double share = (double)done / (double)total;
	int filled = (int)(share * BAR);
	snprintf(buf, PROGRESS_TEXT_MAX, "%s [%.*s%.*s] %3d %%, %s of %s", word_for(doing), filled,
	    full, BAR - filled, empty, (int)(share * 100), part, progress_size(total, all));
	return buf;
}

bool progress_is_seen(void)
{
	return isatty(STDERR_FILENO);
}

void progress_show(const char *text)
{
	if (!progress_is_seen())
		return;
	/* back to its begin, and what is left of a longer one goes */
	fprintf(stderr, "\r%s\033[K", text);
	fflush(stderr);
}
