/* LD_PRELOAD: one process's CLOCK_REALTIME, and the kernel's stamps that it reads, stepped together.
 *
 * As after settimeofday(2), which no namespace can have of its own. How far is an int64 of
 * nanoseconds in a memfd named "clock-step": whoever may write to /proc/PID/fd changes it.
 * A stamp is moved when it is read: one taken before a step and read after it is moved, too. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *step_ns;
static int (*next_clock_gettime)(clockid_t, struct timespec *);
static ssize_t (*next_recvmsg)(int, struct msghdr *, int);

__attribute__((constructor)) static void begin(void) {
    next_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    next_recvmsg = dlsym(RTLD_NEXT, "recvmsg");
    int file = memfd_create("clock-step", MFD_CLOEXEC);
    if (file < 0 || ftruncate(file, sizeof *step_ns)) abort();
    void *page = mmap(NULL, sizeof *step_ns, PROT_READ, MAP_SHARED, file, 0);
    if (page == MAP_FAILED) abort();
    step_ns = page; /* the descriptor stays open: it is how others find the page */
}

static void move(struct timespec *at) {
    if (!step_ns || (at->tv_sec == 0 && at->tv_nsec == 0)) return; /* zero: no stamp */
    int64_t ns = at->tv_sec * 1000000000LL + at->tv_nsec + *step_ns;
    at->tv_sec = ns / 1000000000LL;
    at->tv_nsec = ns % 1000000000LL;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    /* Other libraries' constructors may be ahead of ours. */
    int failed = next_clock_gettime ? next_clock_gettime(clock, now)
                                    : (int)syscall(SYS_clock_gettime, clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) move(now);
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    struct timespec at;
    int failed = clock_gettime(CLOCK_REALTIME, &at);
    now->tv_sec = at.tv_sec;
    now->tv_usec = at.tv_nsec / 1000;
    return failed;
}

time_t time(time_t *now) {
    struct timespec at;
    clock_gettime(CLOCK_REALTIME, &at);
    if (now) *now = at.tv_sec;
    return at.tv_sec;
}

ssize_t recvmsg(int socket, struct msghdr *message, int flags) {
    ssize_t size = next_recvmsg(socket, message, flags);
    if (size < 0) return size;
    for (struct cmsghdr *one = CMSG_FIRSTHDR(message); one; one = CMSG_NXTHDR(message, one)) {
        if (one->cmsg_level != SOL_SOCKET) continue;
        if (one->cmsg_type != SO_TIMESTAMPING && one->cmsg_type != SO_TIMESTAMPNS) continue;
        struct timespec at; /* the first of scm_timestamping's three: software */
        memcpy(&at, CMSG_DATA(one), sizeof at);
        move(&at);
        memcpy(CMSG_DATA(one), &at, sizeof at);
    }
    return size;
}
