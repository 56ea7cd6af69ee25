#include "consumers/train_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/mem.h"

enum { REPORT_MAX = 64 << 20, REPORT_STEP = 16384, ENVIRONMENT_MAX = 4096 };

struct weir_train_process {
    pid_t pid; /* 0: it has been waited for */
    int leash, report; /* ours ends; −1: closed */
    int ended; /* as waitpid has it */
    struct rusage usage;
    weir_buf text; /* of the report that is coming in */
    cJSON *end;
};

static weir_status system_failure(weir_err *err, const char *what) {
    return WEIR_RETRY(err, WEIR_ELIMIT, "cannot start a process for a training run: %s: %s", what, strerror(errno));
}

/* ---- starting ---- */

static void close_if(int *fd) {
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

/* A file without a name that holds the order, from its beginning. */
static weir_status write_order(const cJSON *order, int *ret_fd, weir_err *err) {
    char *text = cJSON_PrintUnformatted(order);
    if (!text) return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for the order of a training run");
    int fd = memfd_create("weir-train-order", MFD_CLOEXEC);
    size_t len = strlen(text), done = 0;
    for (ssize_t n = 0; fd >= 0 && done < len && n >= 0; done += n > 0 ? (size_t)n : 0) n = write(fd, text + done, len - done);
    weir_status status = fd < 0 || done < len || lseek(fd, 0, SEEK_SET) < 0 ? system_failure(err, "its order") : WEIR_OK;
    cJSON_free(text);
    if (status)
        close_if(&fd);
    else
        *ret_fd = fd;
    return status;
}

static bool is_replaced(const char *variable, const char *const *by) {
    size_t name = strcspn(variable, "=") + 1;
    for (; *by; by++)
        if (!strncmp(variable, *by, name)) return true;
    return false;
}

/* Ours, but for what the service says. [ENVIRONMENT_MAX], NULL-terminated. */
static void fill_environment(const char *const *by, char **environment) {
    size_t count = 0;
    for (const char *const *v = by; *v && count < ENVIRONMENT_MAX - 1; v++) environment[count++] = (char *)*v;
    for (char **v = environ; *v && count < ENVIRONMENT_MAX - 1; v++)
        if (!is_replaced(*v, by)) environment[count++] = *v;
    environment[count] = NULL;
}

/* What the process has of ours: three descriptors, stderr for its log, no blocked or ignored signal. */
static int spawn(const weir_train_service *service, int order, int leash, int report, pid_t *ret_pid) {
    char *environment[ENVIRONMENT_MAX], *const argv[] = {"weir", "train-run", NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    fill_environment(service->environment, environment);
    if (posix_spawn_file_actions_init(&files)) return ENOMEM;
    if (posix_spawnattr_init(&attributes)) {
        posix_spawn_file_actions_destroy(&files);
        return ENOMEM;
    }
    sigemptyset(&none);
    sigfillset(&all);
    int rc = posix_spawn_file_actions_adddup2(&files, order, WEIR_TRAIN_ORDER_FD);
    if (!rc) rc = posix_spawn_file_actions_adddup2(&files, STDERR_FILENO, STDOUT_FILENO); /* what a library prints is a log line at best */
    if (!rc) rc = posix_spawn_file_actions_adddup2(&files, leash, WEIR_TRAIN_LEASH_FD);
    if (!rc) rc = posix_spawn_file_actions_adddup2(&files, report, WEIR_TRAIN_REPORT_FD);
    if (!rc) rc = posix_spawn_file_actions_addclosefrom_np(&files, WEIR_TRAIN_REPORT_FD + 1);
    if (!rc) rc = posix_spawnattr_setsigmask(&attributes, &none);
    if (!rc) rc = posix_spawnattr_setsigdefault(&attributes, &all);
    if (!rc) rc = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    if (!rc) rc = posix_spawn(ret_pid, service->program, &files, &attributes, argv, environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    return rc;
}

/* Above those that the process is given, so that giving it one does not close another. */
static int above(int fd) {
    if (fd < 0 || fd > WEIR_TRAIN_REPORT_FD) return fd;
    int high = fcntl(fd, F_DUPFD_CLOEXEC, WEIR_TRAIN_REPORT_FD + 1);
    close(fd);
    return high;
}

static weir_status open_pipe(int *ret_read, int *ret_write, weir_err *err) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC)) return system_failure(err, "a pipe");
    *ret_read = above(ends[0]);
    *ret_write = above(ends[1]);
    return *ret_read < 0 || *ret_write < 0 ? system_failure(err, "a pipe") : WEIR_OK;
}

weir_status weir_train_process_start(const weir_train_service *service, const cJSON *order, weir_train_process **ret_process, weir_err *err) {
    int order_fd = -1, leash = -1, report = -1;
    weir_train_process *p = weir_mem.realloc(NULL, sizeof *p);
    if (!p) return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for a training run's process");
    *p = (weir_train_process){.leash = -1, .report = -1};
    weir_status status = write_order(order, &order_fd, err);
    if (!status && (order_fd = above(order_fd)) < 0) status = system_failure(err, "its order");
    if (!status) status = open_pipe(&leash, &p->leash, err);
    if (!status) status = open_pipe(&p->report, &report, err);
    if (!status && (fcntl(p->leash, F_SETFL, O_NONBLOCK) || fcntl(p->report, F_SETFL, O_NONBLOCK))) status = system_failure(err, "a pipe");
    if (!status && (errno = spawn(service, order_fd, leash, report, &p->pid))) {
        p->pid = 0;
        status = system_failure(err, service->program);
    }
    close_if(&order_fd);
    close_if(&leash);
    close_if(&report);
    if (status)
        weir_train_process_free(p);
    else
        *ret_process = p;
    return status;
}

/* ---- telling it ---- */

void weir_train_process_stop(weir_train_process *process) {
    static const char line[] = "stop\n";
    if (process->leash >= 0 && write(process->leash, line, sizeof line - 1) < 0) close_if(&process->leash); /* which says the same, with less ceremony */
}

void weir_train_process_kill(weir_train_process *process) {
    if (process->pid) (void)kill(process->pid, SIGKILL);
}

/* ---- hearing it ---- */

static void close_report(weir_train_process *p) {
    close_if(&p->report);
    if (p->text.len && p->text.len <= REPORT_MAX && !p->end) p->end = cJSON_Parse(p->text.data);
}

static weir_status drain(weir_train_process *p, weir_err *err) {
    while (p->report >= 0) {
        if (!weir_buf_reserve(&p->text, REPORT_STEP)) return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for the report of a training run");
        ssize_t n = read(p->report, p->text.data + p->text.len, REPORT_STEP);
        if (n < 0 && errno == EAGAIN) return WEIR_OK;
        if (n < 0 && errno == EINTR) continue;
        if (n > 0) {
            p->text.len += (size_t)n;
            p->text.data[p->text.len] = 0;
        }
        if (n <= 0 || p->text.len > REPORT_MAX) close_report(p); /* so long no report can be: the process ends by the closed pipe, without one */
    }
    return WEIR_OK;
}

weir_status weir_train_process_poll(weir_train_process *p, bool *ret_ended, weir_err *err) {
    *ret_ended = false;
    if (p->pid) {
        pid_t got = wait4(p->pid, &p->ended, WNOHANG, &p->usage);
        if (got == p->pid) p->pid = 0;
    }
    weir_status status = drain(p, err); /* after the wait: what it wrote before its end is all there */
    *ret_ended = !status && !p->pid;
    return status;
}

const cJSON *weir_train_process_report(const weir_train_process *p, weir_err *err) {
    if (p->end) return p->end;
    double mib = weir_train_process_usage(p).peak_bytes / (1 << 20);
    if (WIFSIGNALED(p->ended))
        (void)WEIR_RETRY(err, WEIR_EIO, "its process was ended by signal %d (%s); it had up to %.0f MiB of memory", WTERMSIG(p->ended),
                         strsignal(WTERMSIG(p->ended)), mib);
    else
        (void)WEIR_RETRY(err, WEIR_EIO, "its process ended with code %d and no report; it had up to %.0f MiB of memory", WEXITSTATUS(p->ended), mib);
    return NULL;
}

weir_train_usage weir_train_process_usage(const weir_train_process *p) {
    const struct timeval *user = &p->usage.ru_utime, *kernel = &p->usage.ru_stime;
    return (weir_train_usage){.cpu_s = (double)(user->tv_sec + kernel->tv_sec) + (double)(user->tv_usec + kernel->tv_usec) / 1e6,
                              .peak_bytes = (double)p->usage.ru_maxrss * 1024};
}

void weir_train_process_free(weir_train_process *p) {
    if (!p) return;
    if (p->pid) {
        (void)kill(p->pid, SIGKILL);
        while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR) continue;
    }
    close_if(&p->leash);
    close_if(&p->report);
    weir_buf_done(&p->text);
    cJSON_Delete(p->end);
    weir_mem.realloc(p, 0);
}
