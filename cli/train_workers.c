#include "cli/train_workers.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/job_screen.h"
#include "core/clock.h"
#include "models/workers_job.h"

enum { ROUNDS_A_LINE = 10 };

/* ---- the leader ---- */

static void show(void *context, weir_distributed_what what, int64_t number, const char *words) {
    const weir_train_workers *asked = context;
    long long n = number;
    switch (what) {
    case WEIR_DISTRIBUTED_LISTENS:
        if (asked->remote)
            fprintf(stderr, "%d of %d workers are awaited: %s=… weir train --join %s:%lld\n", asked->remote, asked->workers, WEIR_DISTRIBUTED_TOKEN_VARIABLE,
                    words, n);
        break;
    case WEIR_DISTRIBUTED_JOINED: fprintf(stderr, "worker %lld of %d is here, from %s\n", n + 1, asked->workers, words); break;
    case WEIR_DISTRIBUTED_TRAINS: fprintf(stderr, "every row has come to one worker; training begins after round %lld\n", n); break;
    case WEIR_DISTRIBUTED_CHECKPOINT:
        if (words && !strcmp(words, "found"))
            fprintf(stderr, "a checkpoint of an earlier run is there, after round %lld\n", n);
        else if (words)
            fprintf(stderr, "checkpoint after round %lld is in memory only: %s\n", n, words);
        break;
    case WEIR_DISTRIBUTED_LOST: fprintf(stderr, "%s; the group begins anew from its last checkpoint (%lld)\n", words, n); break;
    case WEIR_DISTRIBUTED_ROUND:
        if (number % ROUNDS_A_LINE == 0 && isatty(2)) fprintf(stderr, "round %lld\n", n);
        break;
    case WEIR_DISTRIBUTED_STARTED: break;
    }
}

/* "ADDRESS:PORT", of IPv6 "[ADDRESS]:PORT", or an address alone. */
static weir_status split_address(const char *text, char *address, size_t size, int *ret_port, weir_err *err) {
    const char *colon = strrchr(text, ':'), *end = NULL;
    bool bracketed = *text == '[', has_port = colon && (bracketed ? colon > strchr(text, ']') : strchr(text, ':') == colon);
    char *rest = NULL;
    long port = has_port ? strtol(colon + 1, &rest, 10) : 0;
    end = has_port ? colon : text + strlen(text);
    if (bracketed && end > text && end[-1] == ']') {
        text++;
        end--;
    }
    if ((has_port && (!colon[1] || *rest || port < 1 || port > 65535)) || end <= text || (size_t)(end - text) >= size)
        return WEIR_FAIL(err, WEIR_EINVAL, "--listen: '%s' is no address with a port, expected 10.0.0.1:7070", text);
    snprintf(address, size, "%.*s", (int)(end - text), text);
    *ret_port = (int)port;
    return WEIR_OK;
}

weir_status weir_train_workers_run(const weir_settings *settings, const weir_train_workers *asked, const weir_pipeline *pipeline, const weir_recipe *recipe,
                                   cJSON **ret_run, weir_err *err) {
    char address[64];
    weir_job_screen screen;
    weir_workers_job job = {
        .pipeline = pipeline,
        .recipe = recipe,
        .pg_url = settings->pg_url,
        .objects_dir = settings->objects_dir,
        .candidate = asked->candidate,
        .distributed = {.workers = asked->workers,
                        .remote = asked->remote,
                        .wait_s = (int)(asked->wait_us / WEIR_SECOND_US),
                        .token = getenv(WEIR_DISTRIBUTED_TOKEN_VARIABLE),
                        .tell = show,
                        .context = (void *)asked},
        .train_from_us = asked->train_from_us ? asked->train_from_us : INT64_MIN,
        .as_of_us = asked->as_of_us ? asked->as_of_us : INT64_MAX,
        .cancel = &screen.abort,
    };
    if (asked->remote && !job.distributed.token)
        return WEIR_FAIL(err, WEIR_EINVAL, "workers of other hosts show that they belong here by a token: set %s, the same there and here",
                         WEIR_DISTRIBUTED_TOKEN_VARIABLE);
    if (asked->remote && !asked->listen) return WEIR_FAIL(err, WEIR_EINVAL, "--remote goes with --listen, an address of this host that the others reach");
    weir_status status = asked->listen ? split_address(asked->listen, address, sizeof address, &job.distributed.port, err) : WEIR_OK;
    if (status) return status;
    if (asked->listen) job.distributed.address = address;
    weir_job_screen_init(&screen, stderr, recipe->metric->name);
    status = weir_workers_job_run(&job, ret_run, err);
    weir_job_screen_done(&screen);
    return status;
}

/* ---- a worker ---- */

static int be_a_part(const char *leader, int64_t wait_us) {
    const char *token = getenv(WEIR_DISTRIBUTED_TOKEN_VARIABLE);
    weir_part_end end = WEIR_PART_DONE;
    weir_err err;
    weir_status status =
        token ? weir_distributed_part(leader, token, (int)(wait_us / WEIR_SECOND_US), &end, &err)
              : WEIR_FAIL(&err, WEIR_EINVAL, "a worker shows that it belongs to a training by its token: set %s", WEIR_DISTRIBUTED_TOKEN_VARIABLE);
    if (status) fprintf(stderr, "weir train --join: %s\n", err.message);
    return status ? weir_status_exit(status) : end == WEIR_PART_DONE ? 0 : WEIR_PART_EXIT_ANEW;
}

/* Each time in a new process: the library's collective is not to be begun twice in one. */
weir_status weir_train_join(const char *leader, int64_t wait_us, int *ret_exit, weir_err *err) {
    int how = 0;
    if (!wait_us) {
        *ret_exit = be_a_part(leader, 0);
        return WEIR_OK;
    }
    do {
        pid_t parent = getpid(), child = fork();
        if (child < 0) return WEIR_FAIL(err, WEIR_ELIMIT, "no process could be started: %s", strerror(errno));
        if (!child) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            _exit(getppid() == parent ? be_a_part(leader, wait_us) : WEIR_PART_EXIT_ANEW);
        }
        while (waitpid(child, &how, 0) < 0 && errno == EINTR) continue;
    } while (WIFEXITED(how) && WEXITSTATUS(how) == WEIR_PART_EXIT_ANEW);
    if (WIFSIGNALED(how)) return WEIR_FAIL(err, WEIR_EINTERNAL, "the worker was ended by signal %d", WTERMSIG(how));
    *ret_exit = WEXITSTATUS(how);
    return WEIR_OK;
}
