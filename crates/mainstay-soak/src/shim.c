/* Stands before a few functions of the C library, so that a disk can be slow, fail, be full and forget what was not
   flushed, and the wall clock can jump. What is to happen is read from a file that is mapped; what would be lost with the
   power is kept beside it, until it is flushed: of each write the bytes that were there before.

   It stands before nothing that a program asks the kernel itself: preallocating, renaming and removing go by it. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct control {
    int64_t wall_ns;        /* how far the wall clock is off */
    int64_t flush_us;       /* how much longer a flush takes */
    int64_t flush_errno;    /* what a flush fails with, if it does */
    int64_t write_errno;    /* what a write fails with, if it does */
};

static const struct control *control;
static const char *data, *undo;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("SOAK_CONTROL");
    data = getenv("SOAK_DATA");
    undo = getenv("SOAK_UNDO");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *at = mmap(NULL, sizeof *control, PROT_READ, MAP_SHARED, fd, 0);
    if (at != MAP_FAILED) control = at;
    close(fd);
}

static int64_t told(const int64_t *what) { return __atomic_load_n(what, __ATOMIC_RELAXED); }

int clock_gettime(clockid_t clock, struct timespec *at) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int outcome = real(clock, at);
    if (outcome == 0 && clock == CLOCK_REALTIME && control) {
        int64_t ns = (int64_t)at->tv_sec * 1000000000 + at->tv_nsec + told(&control->wall_ns);
        at->tv_sec = ns / 1000000000;
        at->tv_nsec = ns % 1000000000;
    }
    return outcome;
}

/* The file of a member's data that this is, if it is one. */
static int ours(int fd, char *path, struct stat *at) {
    char link[32];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (!data || length < 0) return 0;
    path[length] = 0;
    return strncmp(path, data, strlen(data)) == 0 && fstat(fd, at) == 0 && S_ISREG(at->st_mode);
}

static void journal(const struct stat *at, char *path) {
    snprintf(path, PATH_MAX, "%s/%llu", undo, (unsigned long long)at->st_ino);
}

struct head { uint64_t at, size, length, was; };

/* Notes what a write will write over: where, how long the file is, how long the write, and the bytes that are there. */
static void note(int fd, const struct stat *at, size_t length, off_t from) {
    char path[PATH_MAX];
    journal(at, path);
    char *bytes = malloc(sizeof(struct head) + length);
    if (!bytes) abort();
    ssize_t was = pread(fd, bytes + sizeof(struct head), length, from);
    struct head head = { (uint64_t)from, (uint64_t)at->st_size, length, was < 0 ? 0 : (uint64_t)was };
    memcpy(bytes, &head, sizeof head);
    int file = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    size_t all = sizeof head + head.was;
    if (file < 0 || write(file, bytes, all) != (ssize_t)all) abort();
    close(file);
    free(bytes);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at) {
    static ssize_t (*real)(int, const void *, size_t, off64_t);
    if (!real) real = dlsym(RTLD_NEXT, "pwrite64");
    char path[PATH_MAX];
    struct stat file;
    if (!control || !ours(fd, path, &file)) return real(fd, bytes, length, at);
    int64_t fails = told(&control->write_errno);
    if (fails) { errno = (int)fails; return -1; }
    pthread_mutex_lock(&lock);
    note(fd, &file, length, at);
    ssize_t outcome = real(fd, bytes, length, at);
    pthread_mutex_unlock(&lock);
    return outcome;
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) { return pwrite64(fd, bytes, length, at); }

static int flush(int fd, int (*real)(int)) {
    char path[PATH_MAX];
    struct stat file;
    if (!control || !ours(fd, path, &file)) return real(fd);
    int64_t late = told(&control->flush_us);
    if (late) usleep((useconds_t)late);
    int64_t fails = told(&control->flush_errno);
    if (fails) { errno = (int)fails; return -1; }
    int outcome = real(fd);
    if (outcome == 0) {
        journal(&file, path);
        pthread_mutex_lock(&lock);
        if (truncate(path, 0) != 0 && errno != ENOENT) abort();
        pthread_mutex_unlock(&lock);
    }
    return outcome;
}

int fdatasync(int fd) {
    static int (*real)(int);
    if (!real) real = dlsym(RTLD_NEXT, "fdatasync");
    return flush(fd, real);
}

int fsync(int fd) {
    static int (*real)(int);
    if (!real) real = dlsym(RTLD_NEXT, "fsync");
    return flush(fd, real);
}
