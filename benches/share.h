/*
 * Memory that a program which measures has in common with one that is measured.
 */
#ifndef SHARE_H
#define SHARE_H

#include <stddef.h>
#include <sys/types.h>

/* New memory, all zeros, and a descriptor of it for start_sharing(). */
void *make_shared(size_t size, int *memory);

/* Starts a program, by name or by path, that can get the memory; closes our descriptor of it. */
pid_t start_sharing(char *const argv[], int memory);

/* In that program. It is killed when the one that started it ends. */
void *get_shared(size_t size);

#endif
