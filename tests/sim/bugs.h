/* bugs - mistakes that are planted on demand, each of which must make some seed fail: by changing the text of the script before it is compiled, or in a function
 * that the linker puts in the place of one of the production code's (-Wl,--wrap). The production code knows nothing of them. */
#ifndef SIM_BUGS_H
#define SIM_BUGS_H

#include <stdbool.h>

struct bug_edit {
	const char *from, *to; /* from NULL: the end */
};
/* Of the bug that is planted; NULL: none. */
const struct bug_edit *bug_edits(void);
/* One a line, with what it is. */
void bugs_list(void);
bool bugs_know(const char *name);

#endif
