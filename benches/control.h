/*
 * A process that serves a Unix socket. control_server.c is the process, each control_NAME.c is servers.
 */
#ifndef CONTROL_H
#define CONTROL_H

#include <stddef.h>

/* What a client sends, and what it gets. */
#define REQUEST "get speed\n"
#define ANSWER " 42\nok\n"

/* Of control_server.c: a socket that listens at `path`. */
int listen_at(const char *path, int backlog, int flags);

/* To be called when clients can connect. */
void say_ready(void);

/* Of control_NAME.c: serves until it is killed. Ends the program if it cannot. */
void serve(const char *kind, const char *path);

#endif
