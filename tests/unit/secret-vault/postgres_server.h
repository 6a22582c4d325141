/* postgres_server - a private, real PostgreSQL on a unix socket in a folder of its own, with every write on disk before it is answered. It dies with the
 * test, also if that is killed. */
#ifndef TESTS_POSTGRES_SERVER_H
#define TESTS_POSTGRES_SERVER_H

#include <stdbool.h>
#include <sys/types.h>

struct postgres_server {
	char dir[40];
	char conninfo[96]; /* of libpq */
	char where[112];   /* of db_open */
	pid_t pid;
};
/* All of them abort the test when the server does not do what is asked of it. */
void postgres_server_start(struct postgres_server *server);
/* Every process of it at once, as a machine that loses power. */
void postgres_server_kill(struct postgres_server *server);
/* After it was killed: what it had on disk is there again. */
void postgres_server_again(struct postgres_server *server);
/* It answers nothing until it is thawed; connections stay. */
void postgres_server_freeze(const struct postgres_server *server, bool is_frozen);
/* Ends it and removes its folder; nothing happens if it was never started. */
void postgres_server_stop(struct postgres_server *server);
/* Drops all tables. */
void postgres_server_empty(const struct postgres_server *server);
/* Runs SQL from the side. */
void postgres_server_say(const struct postgres_server *server, const char *sql);

#endif
