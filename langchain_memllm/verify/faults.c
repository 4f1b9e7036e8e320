/* Preloaded by A02, A03 and A14: notes what a process does to the files of one folder, and makes one operation fail.

   Without a log and unarmed it changes nothing. Records are: one character of what was done (see `note`), the name's
   length, offset, size of the data (64 bits each), the name, the data. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static char folder[512], names[1024][256];
static int log_file = -1, failing;
static long counted, fails_at = -1;

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

void shim_watch(const char *path) { snprintf(folder, sizeof folder, "%s/", path); }
void shim_log(const char *path) { log_file = open(path, O_CREAT | O_WRONLY | O_APPEND, 0600); }
void shim_arm(long after, int error) { counted = 0; fails_at = after; failing = error; }
long shim_count(void) { return counted; }

/* The name of a watched file: what follows the folder; NULL of any other. */
static const char *watched(const char *path) {
    size_t length = strlen(folder);
    return path && length && !strncmp(path, folder, length) ? path + length : NULL;
}
static const char *name_of(int fd) { return fd >= 0 && fd < 1024 && names[fd][0] ? names[fd] : NULL; }

static int fails(const char *name) {
    if (!name || strcmp(name, "acks") == 0) return 0;
    if (counted++ != fails_at) return 0;
    errno = failing;
    return 1;
}
/* w: write; t: truncate to offset; s: sync; u: unlink; a: an acknowledgement */
static void note(char what, const char *name, int64_t offset, const void *data, int64_t size) {
    ssize_t (*put)(int, const void *, size_t) = (ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
    int64_t head[4] = {what, (int64_t)strlen(name), offset, size};
    int kept = errno;
    if (log_file < 0) return;
    if (put(log_file, head, sizeof head) < 0 || put(log_file, name, strlen(name)) < 0) return;
    if (size && put(log_file, data, (size_t)size) < 0) return;
    errno = kept;
}
static int opened(int fd, const char *path) {
    const char *name = watched(path);
    if (fd >= 0 && fd < 1024) snprintf(names[fd], sizeof names[fd], "%s", name ? name : "");
    return fd;
}
#define OPEN(function) \
    int function(const char *path, int flags, ...) { \
        REAL(int, #function, const char *, int, ...); \
        va_list rest; va_start(rest, flags); int mode = va_arg(rest, int); va_end(rest); \
        return fails(watched(path)) ? -1 : opened(real(path, flags, mode), path); \
    }
OPEN(open)
OPEN(open64)
int close(int fd) {
    REAL(int, "close", int);
    if (fd >= 0 && fd < 1024) names[fd][0] = 0;
    return real(fd);
}
ssize_t write(int fd, const void *data, size_t size) {
    REAL(ssize_t, "write", int, const void *, size_t);
    const char *name = name_of(fd);
    if (name && !strcmp(name, "acks")) note('a', name, 0, data, (int64_t)size);
    return fails(name) ? -1 : real(fd, data, size);
}
#define PWRITE(function, offset_type) \
    ssize_t function(int fd, const void *data, size_t size, offset_type offset) { \
        REAL(ssize_t, #function, int, const void *, size_t, offset_type); \
        const char *name = name_of(fd); \
        if (fails(name)) return -1; \
        if (name) note('w', name, (int64_t)offset, data, (int64_t)size); \
        return real(fd, data, size, offset); \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)
#define TRUNCATE(function, offset_type) \
    int function(int fd, offset_type size) { \
        REAL(int, #function, int, offset_type); \
        const char *name = name_of(fd); \
        if (fails(name)) return -1; \
        if (name) note('t', name, (int64_t)size, NULL, 0); \
        return real(fd, size); \
    }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)
#define SYNC(function) \
    int function(int fd) { \
        REAL(int, #function, int); \
        const char *name = name_of(fd); \
        if (fails(name)) return -1; \
        if (name) note('s', name, 0, NULL, 0); \
        return real(fd); \
    }
SYNC(fsync)
SYNC(fdatasync)
int unlink(const char *path) {
    REAL(int, "unlink", const char *);
    const char *name = watched(path);
    if (fails(name)) return -1;
    if (name) note('u', name, 0, NULL, 0);
    return real(path);
}
