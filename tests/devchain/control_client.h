/* control_client - the command line's side of control: sends a command to a running development chain and prints the reply. */
#ifndef DEVCHAIN_CONTROL_CLIENT_H
#define DEVCHAIN_CONTROL_CLIENT_H

/* argv[0] is the command's name, then --name value pairs; --url says whom to ask. Returns the exit status: 0 done, 1 refused or not
 * reached, 2 wrong usage. */
int control_client(int argc, char **argv);

#endif
