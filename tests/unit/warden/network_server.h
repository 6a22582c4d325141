/* network_server - answers TCP, UDP on both families and on every address of a namespace; the kernel answers ICMP. */
#ifndef TESTS_UNIT_WARDEN_NETWORK_SERVER_H
#define TESTS_UNIT_WARDEN_NETWORK_SERVER_H

/* Writes a byte to ready_fd once it listens; never returns. */
void network_server_run(int ready_fd) __attribute__((noreturn));

#endif
