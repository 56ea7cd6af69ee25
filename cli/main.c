/* The one executable. */
#include <fcntl.h>
#include <signal.h>

#include "cli/command.h"

/* A standard descriptor that was closed would become a file's or a socket's, and what is printed would go there. Opened for reading, a print to it is an error. */
static void hold_standard_descriptors(void) {
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0) (void)open("/dev/null", O_RDONLY);
}

int main(int argc, char **argv) {
    hold_standard_descriptors();
    signal(SIGPIPE, SIG_IGN); /* a closed pipe or socket is an error value where it is written */
    return weir_command_main(weir_commands(), argc, argv, stdout, stderr);
}
