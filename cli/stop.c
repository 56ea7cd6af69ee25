#include "cli/stop.h"

#include <signal.h>
#include <string.h>

static volatile int stopped; /* an int is what weir_publisher_run takes; written by the handler only */

static void on_signal(int number) {
    (void)number;
    stopped = 1;
}

const volatile int *weir_stop_flag(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    action.sa_flags = (int)SA_RESETHAND;
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    return &stopped;
}
