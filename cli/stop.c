#include "cli/stop.h"

#include <signal.h>
#include <string.h>
#include <time.h>

enum { AGAIN_S = 1 };

static volatile int stopped; /* an int is what weir_publisher_run takes; written by the handler only */
static volatile time_t stopped_at;
static _Atomic(_Atomic bool *) also; /* lock-free, as a handler needs it */

static void on_signal(int number) {
    struct timespec now;
    _Atomic bool *flag = also;
    if (flag) *flag = true;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    if (!stopped) {
        stopped_at = now.tv_sec;
        stopped = 1;
    } else if (now.tv_sec - stopped_at > AGAIN_S) {
        (void)signal(number, SIG_DFL);
        (void)raise(number);
    }
}

const volatile int *weir_stop_flag(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    return &stopped;
}

void weir_stop_sets(_Atomic bool *flag) {
    also = flag;
}
