#include "measure.h"

#include <err.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double quantile(const double *values, int count, double part)
{
    double *sorted = malloc((size_t)count * sizeof *sorted);
    if (sorted == NULL)
        err(1, "cannot sort");
    memcpy(sorted, values, (size_t)count * sizeof *sorted);
    qsort(sorted, (size_t)count, sizeof *sorted, compare);
    double place = part * (count - 1);
    int below = (int)place;
    int above = below + 1 < count ? below + 1 : below;
    double value = sorted[below] + (place - below) * (sorted[above] - sorted[below]);
    free(sorted);
    return value;
}

double median(const double *values, int count)
{
    return quantile(values, count, 0.5);
}

void shuffle(int *order, int count)
{
    for (int i = 0; i < count; i++) {
        int other = (int)(random() % (i + 1));
        order[i] = order[other];
        order[other] = i;
    }
}

char *join(const char *folder, const char *name)
{
    char *path;
    if (asprintf(&path, "%s/%s", folder, name) == -1)
        err(1, "cannot use %s", folder);
    return path;
}

bool is_built(const char *folder, const char *name, const char *package)
{
    char *path = join(folder, name);
    bool is_there = access(path, X_OK) == 0;
    if (!is_there && package == NULL)
        err(1, "cannot run %s", path);
    free(path);
    if (!is_there)
        printf("SKIPPED %s: %s is not installed\n", name, package);
    return is_there;
}

void pin(pid_t pid, int cpu)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    if (sched_setaffinity(pid, sizeof one, &one) == -1)
        err(1, "cannot stay on CPU %d", cpu);
}

long count_lines(const char *path)
{
    long lines = 0;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return -1;
    for (int c; (c = getc(file)) != EOF;)
        lines += c == '\n';
    fclose(file);
    return lines;
}

bool has_memory(long mebibytes)
{
    char line[256];
    long kib = 0;
    FILE *file = fopen("/proc/meminfo", "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "MemAvailable: %ld", &kib) == 1)
            break;
    if (file != NULL)
        fclose(file);
    return kib / 1024 >= mebibytes;
}
