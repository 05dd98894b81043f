/*
 * What others may do to a folder while c-examples/security_scanner.c scans it, by the names in it. Linked into
 * it with --wrap for both functions.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct dirent *__real_readdir64(DIR *folder);
int __real_fstatat64(int fd, const char *name, struct stat *stat, int flags);
struct dirent *__wrap_readdir64(DIR *folder);
int __wrap_fstatat64(int fd, const char *name, struct stat *stat, int flags);

struct dirent *__wrap_readdir64(DIR *folder)
{
    static DIR *broken = NULL;
    struct dirent *entry = __real_readdir64(folder);

    if (entry != NULL && strcmp(entry->d_name, "slow") == 0)
        for (;;)
            pause();
    if (folder == broken) {
        errno = EIO;
        return NULL;
    }
    if (entry != NULL && strcmp(entry->d_name, "the last on a broken disk") == 0)
        broken = folder;
    if (entry != NULL && strcmp(entry->d_name, "vanishing file") == 0)
        unlinkat(dirfd(folder), entry->d_name, 0);
    return entry;
}

int __wrap_fstatat64(int fd, const char *name, struct stat *stat, int flags)
{
    int result = __real_fstatat64(fd, name, stat, flags);

    if (result == 0 && strcmp(name, "vanishing folder") == 0)
        unlinkat(fd, name, AT_REMOVEDIR);
    if (result == 0 && strcmp(name, "swapped folder") == 0
        && (renameat(fd, name, fd, "was swapped") == -1 || symlinkat("../elsewhere", fd, name) == -1))
        perror(name);
    return result;
}
