/* probe - what a hostile agent would try, as one static program in the tests' image. It judges nothing: it says what came of each attempt, one a line, and
 * the tests know what should have. */
#ifndef TESTS_SANDBOX_PROBE_H
#define TESTS_SANDBOX_PROBE_H

#include <stddef.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* "NAME ok", "NAME <errno>", "NAME <signal>" for each forbidden system call, each in a process of its own. */
int attempts_run(int argc, char **argv);
/* KIND:ADDRESS[:PORT]...: all at once, of kinds tcp udp icmp arp; "WHAT ok" or "WHAT <errno>". */
int reach_run(int argc, char **argv);
/* PORT: answers TCP and UDP, both families, for ever; "listening", then a line for each that comes. */
int listen_run(int argc, char **argv);
/* "folder PATH", "file PATH": all that may be written, of what is no process' own. */
int walk_run(int argc, char **argv);
/* fork, memory, disk FOLDER, files FOLDER, spin, connect ADDRESS PORT, log: as much as there is. */
int hog_run(int argc, char **argv);

#endif
