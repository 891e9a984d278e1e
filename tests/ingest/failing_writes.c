/* Preloaded into a process and its children: counts the calls that write below a folder, and fails some of them.

   FAILING_UNDER    the folder, as the kernel names it
   FAILING_LOG      a file that gets a line for each call that fails: its number, name and file
   FAILING_SHARED   a file of four numbers of eight bytes, which may be written at any time: the calls so far, of all threads
                    and processes; the number, from 1, of the first that fails, how many do, and with which errno */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static _Atomic unsigned long *calls; /* and the three numbers that follow it */
static const char *under, *log_path;

__attribute__((constructor)) static void start(void) {
    const char *file = getenv("FAILING_SHARED");
    under = getenv("FAILING_UNDER");
    log_path = getenv("FAILING_LOG");
    int fd = file && under ? open(file, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *shared = mmap(NULL, 4 * sizeof *calls, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    syscall(SYS_close, fd);
    if (shared != MAP_FAILED)
        calls = shared;
}

static int fails_at_path(const char *call, const char *path) {
    size_t length = under ? strlen(under) : 0;
    if (!calls || strncmp(path, under, length) || (path[length] && path[length] != '/'))
        return 0;
    unsigned long this = atomic_fetch_add(calls, 1) + 1, first = calls[1], most = calls[2];
    if (this < first || this - first >= most)
        return 0;
    if (log_path) {
        char line[PATH_MAX + 64];
        int size = snprintf(line, sizeof line, "%lu %s %s\n", this, call, path + length);
        int fd = (int)syscall(SYS_openat, AT_FDCWD, log_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
        if (fd >= 0) {
            syscall(SYS_write, fd, line, (size_t)size);
            syscall(SYS_close, fd);
        }
    }
    errno = (int)calls[3];
    return 1;
}

static int fails(const char *call, int fd) {
    char link[64], path[PATH_MAX];
    int before = errno;
    if (!calls)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    errno = before;
    if (size < 0)
        return 0;
    path[size] = 0;
    return fails_at_path(call, path);
}

#define REAL(name) \
    static __typeof__(name) *real; \
    if (!real) \
    real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

#define OF_FD(type, name, fd, parameters, arguments) \
    type name parameters { \
        REAL(name); \
        return fails(#name, fd) ? -1 : real arguments; \
    }

#define OF_PATH(name, path, parameters, arguments) \
    int name parameters { \
        REAL(name); \
        return fails_at_path(#name, path) ? -1 : real arguments; \
    }

OF_FD(ssize_t, write, fd, (int fd, const void *from, size_t size), (fd, from, size))
OF_FD(ssize_t, pwrite, fd, (int fd, const void *from, size_t size, off_t at), (fd, from, size, at))
OF_FD(ssize_t, pwrite64, fd, (int fd, const void *from, size_t size, off64_t at), (fd, from, size, at))
OF_FD(ssize_t, writev, fd, (int fd, const struct iovec *from, int count), (fd, from, count))
OF_FD(ssize_t, pwritev, fd, (int fd, const struct iovec *from, int count, off_t at), (fd, from, count, at))
OF_FD(ssize_t, pwritev64, fd, (int fd, const struct iovec *from, int count, off64_t at), (fd, from, count, at))
OF_FD(ssize_t, sendfile, to, (int to, int from, off_t *at, size_t size), (to, from, at, size))
OF_FD(ssize_t, sendfile64, to, (int to, int from, off64_t *at, size_t size), (to, from, at, size))
OF_FD(ssize_t, copy_file_range, to, (int from, off64_t *at, int to, off64_t *to_at, size_t size, unsigned flags),
      (from, at, to, to_at, size, flags))
OF_FD(int, fsync, fd, (int fd), (fd))
OF_FD(int, fdatasync, fd, (int fd), (fd))
OF_FD(int, ftruncate, fd, (int fd, off_t size), (fd, size))
OF_FD(int, ftruncate64, fd, (int fd, off64_t size), (fd, size))
OF_PATH(rename, to, (const char *from, const char *to), (from, to))
OF_PATH(renameat, to, (int a, const char *from, int b, const char *to), (a, from, b, to))
OF_PATH(link, to, (const char *from, const char *to), (from, to))

int mkdir(const char *path, mode_t mode) {
    REAL(mkdir);
    return access(path, F_OK) && fails_at_path("mkdir", path) ? -1 : real(path, mode); /* one that is there is no write */
}
