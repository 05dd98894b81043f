/*
 * A pid file taken and given back, over and over. Each cycle_NAME.c says how; cycle.c counts.
 */
#ifndef CYCLE_H
#define CYCLE_H

/* Both end the program if they fail. */
void take(const char *pidfile);
void give_back(const char *pidfile);

#endif
