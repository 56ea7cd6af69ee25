/* The one executable. */
#include <signal.h>

#include "cli/command.h"

int main(int argc, char **argv) {
    signal(SIGPIPE, SIG_IGN); /* a closed pipe or socket is an error value where it is written */
    return weir_command_main(weir_commands(), argc, argv, stdout, stderr);
}
