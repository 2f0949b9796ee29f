/* A file system that refuses, for LD_PRELOAD: the calls in MPIDBO_TEST_REFUSE, "CALL,...:ERRNO:PATH", fail for paths that hold PATH
   (that end with it, where it ends with $). MPIDBO_TEST_REFUSE_RANK: on that rank of an MPI job only. Both are read at each call. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#define O_CREAT_ 0100
#define O_TMPFILE_ 020000000

static int holds(const char *path, const char *part)
{
    size_t n = strlen(part), length = strlen(path);
    if (n == 0 || part[n - 1] != '$')
        return strstr(path, part) != NULL;
    return length >= n - 1 && strncmp(path + length - (n - 1), part, n - 1) == 0;
}

static int refused(const char *call, const char *path)
{
    const char *spec = getenv("MPIDBO_TEST_REFUSE"), *rank = getenv("MPIDBO_TEST_REFUSE_RANK"), *mine;
    char calls[256], part[2048];
    int number;
    if (!path || !spec || sscanf(spec, "%255[^:]:%d:%2047s", calls, &number, part) != 3 || !holds(path, part))
        return 0;
    mine = getenv("PMI_RANK") ? getenv("PMI_RANK") : getenv("OMPI_COMM_WORLD_RANK");
    if (rank && (!mine || strcmp(rank, mine)))
        return 0;
    for (char *left, *word = strtok_r(calls, ",", &left); word; word = strtok_r(NULL, ",", &left))
        if (!strcmp(word, call)) {
            errno = number;
            return 1;
        }
    return 0;
}

static int refused_file(const char *call, int file)
{
    char link[64], path[4096];
    int saved = errno, found;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t n = readlink(link, path, sizeof path - 1);
    path[n < 0 ? 0 : n] = 0;
    found = refused(call, path);
    if (!found)
        errno = saved;
    return found;
}

#define REAL(name) ((__typeof__(&name)) dlsym(RTLD_NEXT, #name))

#define OPENS(name) \
    int name(const char *path, int flags, ...) \
    { \
        va_list more; \
        va_start(more, flags); \
        int mode = flags & (O_CREAT_ | O_TMPFILE_) ? va_arg(more, int) : 0; \
        va_end(more); \
        return refused("open", path) ? -1 : REAL(name)(path, flags, mode); \
    }
OPENS(open)
OPENS(open64)

#define OPENS_AT(name) \
    int name(int folder, const char *path, int flags, ...) \
    { \
        va_list more; \
        va_start(more, flags); \
        int mode = flags & (O_CREAT_ | O_TMPFILE_) ? va_arg(more, int) : 0; \
        va_end(more); \
        return refused("open", path) ? -1 : REAL(name)(folder, path, flags, mode); \
    }
OPENS_AT(openat)
OPENS_AT(openat64)

ssize_t read(int file, void *data, size_t size) { return refused_file("read", file) ? -1 : REAL(read)(file, data, size); }
ssize_t pread(int file, void *data, size_t size, off_t at) { return refused_file("read", file) ? -1 : REAL(pread)(file, data, size, at); }
ssize_t pread64(int file, void *data, size_t size, off_t at)
{
    return refused_file("read", file) ? -1 : REAL(pread64)(file, data, size, at);
}
ssize_t write(int file, const void *data, size_t size) { return refused_file("write", file) ? -1 : REAL(write)(file, data, size); }
int fsync(int file) { return refused_file("fsync", file) ? -1 : REAL(fsync)(file); }
int flock(int file, int what) { return refused_file("flock", file) ? -1 : REAL(flock)(file, what); }

#define LOCKS(name) \
    int name(int file, int command, ...) \
    { \
        va_list more; \
        va_start(more, command); \
        void *given = va_arg(more, void *); \
        va_end(more); \
        int locks = (command >= 5 && command <= 7) || (command >= 36 && command <= 38); \
        return locks && refused_file("flock", file) ? -1 : REAL(name)(file, command, given); \
    }
LOCKS(fcntl)
LOCKS(fcntl64)

struct stat;
struct stat64;
int stat(const char *path, struct stat *found) { return refused("stat", path) ? -1 : REAL(stat)(path, found); }
int stat64(const char *path, struct stat64 *found) { return refused("stat", path) ? -1 : REAL(stat64)(path, found); }
int mkdir(const char *path, mode_t mode) { return refused("mkdir", path) ? -1 : REAL(mkdir)(path, mode); }
int rename(const char *from, const char *to) { return refused("rename", to) ? -1 : REAL(rename)(from, to); }
DIR *opendir(const char *path) { return refused("list", path) ? NULL : REAL(opendir)(path); }
