/* `weir train-run`: one attempt at a training run. The train worker starts it; its order comes on standard input. */
#include "cli/command.h"
#include "consumers/train_run.h"

static weir_status train_run(const weir_settings *settings, const void *options, int *ret_exit, weir_err *err) {
    (void)options, (void)ret_exit;
    return weir_train_run(settings->pg_url, settings->objects_dir, err);
}

const weir_command weir_command_train_run = {
    .name = "train-run",
    .args = "< ORDER",
    .doc = "Carries out one attempt at a training run, as the train worker orders it: not for people.",
    .is_service = true,
    .run = train_run,
};
