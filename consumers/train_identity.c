#include "consumers/train_identity.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FIELD_STATE = 3, FIELD_START = 22 }; /* of /proc/PID/stat, proc(5) */

/* The beginning of a small file; false when it cannot be read. */
static bool read_text(const char *path, char *text, size_t size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, text, size - 1);
    if (fd >= 0) close(fd);
    text[got > 0 ? got : 0] = 0;
    text[strcspn(text, "\n")] = 0;
    return got > 0;
}

/* When a living process began, in ticks since the boot; "" when there is none. Its name, in parentheses, may hold anything. */
static void start_of(long pid, char start[32]) {
    char path[64], text[1024], *rest = NULL;
    *start = 0;
    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    char *field = read_text(path, text, sizeof text) ? strrchr(text, ')') : NULL;
    if (!field) return;
    field = strtok_r(field + 1, " ", &rest);
    if (field && (*field == 'Z' || *field == 'X')) return; /* it is dead, its parent has not looked yet */
    for (int i = FIELD_STATE; field && i < FIELD_START; i++) field = strtok_r(NULL, " ", &rest);
    if (field) snprintf(start, 32, "%.31s", field);
}

weir_status weir_train_identity_init(weir_train_identity *identity, const char *host, const char *instance, weir_err *err) {
    char boot[64], namespace[64], start[32], name[sizeof identity->host] = "";
    if (!read_text("/proc/sys/kernel/random/boot_id", boot, sizeof boot))
        return WEIR_FAIL(err, WEIR_EIO, "/proc/sys/kernel/random/boot_id: %s", strerror(errno));
    ssize_t len = readlink("/proc/self/ns/pid", namespace, sizeof namespace - 1);
    if (len < 0) return WEIR_FAIL(err, WEIR_EIO, "/proc/self/ns/pid: %s", strerror(errno));
    namespace[len] = 0;
    start_of((long)getpid(), start);
    if (!*start) return WEIR_FAIL(err, WEIR_EIO, "/proc/%ld/stat cannot be read", (long)getpid());
    if (!host || !*host) (void)gethostname(name, sizeof name - 1);
    snprintf(identity->host, sizeof identity->host, "%s", host && *host ? host : name);
    snprintf(identity->worker, sizeof identity->worker, "%s/%.64s/%ld", identity->host, instance, (long)getpid());
    identity->machine_len = (size_t)snprintf(identity->process, sizeof identity->process, "%.40s/%.32s/", boot, namespace);
    snprintf(identity->process + identity->machine_len, sizeof identity->process - identity->machine_len, "%ld/%s", (long)getpid(), start);
    return WEIR_OK;
}

bool weir_train_identity_gone(const weir_train_identity *identity, const char *process) {
    char start[32], *end;
    if (strncmp(process, identity->process, identity->machine_len) != 0) return false;
    long pid = strtol(process + identity->machine_len, &end, 10);
    if (pid <= 0 || *end != '/') return false;
    start_of(pid, start);
    return strcmp(start, end + 1) != 0;
}
