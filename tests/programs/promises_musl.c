/*
 * For the C library musl, linked statically: what it does by itself is in stdio.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t arrived;

static void note(int signo)
{
    arrived = signo;
}

static void *sleeps(void *nothing)
{
    struct timespec a_while = { 0, 1000000 };
    nanosleep(&a_while, NULL);
    return nothing;
}

int main(int argc, char *argv[])
{
    pthread_t thread;
    struct stat stat;
    time_t now = time(NULL);
    void *memory = malloc(1 << 20);
    if (argc > 1) /* the first of two executes the second */
        return execl(argv[0], argv[0], (char *)NULL);
    signal(SIGUSR1, note);
    if (memory == NULL || realloc(memory, 1 << 22) == NULL || fstat(0, &stat) == -1)
        return 2;
    if (pthread_create(&thread, NULL, sleeps, NULL) != 0 || pthread_join(thread, NULL) != 0)
        return 3;
    if (raise(SIGUSR1) != 0 || arrived != SIGUSR1 || gmtime(&now) == NULL)
        return 4;
    printf("well\n");
    return 0;
}
