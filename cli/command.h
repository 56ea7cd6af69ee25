/* The command line: `weir COMMAND …`, or `COMMAND …` through a link of that name. A command is a table of options and a function; parsing, help and exit codes are the same for all.
 *
 * Exit codes: 0 done, 1 the answer is no, 2 used wrongly, 3 something it depends on failed.
 * Output: results on stdout (a table, or JSON with `--output json`), everything else on stderr. */
#ifndef WEIR_CLI_COMMAND_H
#define WEIR_CLI_COMMAND_H

#include <stddef.h>

#include "cli/settings.h"

typedef struct weir_command {
    const char *name; /* "replay"; of a group: "features history" */
    const char *args; /* synopsis of what follows the name: "PIPELINE --file F…" */
    const char *doc; /* first line: one sentence; may go on */
    const weir_conf_item *options; /* of an object of options_size bytes */
    size_t options_size;
    bool is_service; /* runs until SIGTERM and logs; its last error is a log line, not a sentence for a person */
    bool (*is_once)(const void *options); /* of a service: with these options it does one thing for a person and ends; may be NULL */
    /** Does it. settings and options are complete and checked. *ret_exit is 0 at first; a command whose answer is no sets 1. An error's exit code is weir_status_exit. */
    weir_status (*run)(const weir_settings *settings, const void *options, int *ret_exit, weir_err *err);
} weir_command;

/** Index of word among choices (NULL-terminated), for a positional like "list|show". Else WEIR_EINVAL that lists them and suggests the nearest. */
weir_status weir_action_find(const char *word, const char *const *choices, int *ret_index, weir_err *err) WEIR_MUST_CHECK;

/** The names of a LIST option, one after the other: "a,b" and `--x a --x b` alike; their commas become NULs. names [max + 1], NULL-terminated. WEIR_EINVAL: more than max. */
weir_status weir_names_split(char **given, const char **names, size_t max, weir_err *err) WEIR_MUST_CHECK;

/* Every command; cli/cmd_NAME.c defines weir_command_NAME. A new one is one more line here. */
// clang-format off
#define WEIR_COMMANDS(X) \
    X(run) \
    X(ingest) \
    X(store) \
    X(train) \
    X(train_run) \
    X(infer) \
    X(score) \
    X(serve) \
    X(experiment) \
    X(parity) \
    X(mlflow) \
    X(schedule) \
    X(trigger) \
    X(drift) \
    X(rollout) \
    X(replay) \
    X(simulate) \
    X(check) \
    X(topics) \
    X(migrate) \
    X(models) \
    X(why) \
    X(replay_predictions) \
    X(lineage) \
    X(audit) \
    X(prepare_data) \
    X(train_model) \
    X(register_model) \
    X(validate_model) \
    X(features_history) \
    X(features_compact) \
    X(features_backfill) \
    X(features_profile) \
    X(features_rebuild) \
    X(features_get) \
    X(tenants) \
    X(schema_registry) \
    X(demo) \
    X(reset) \
    X(config)
// clang-format on

#define WEIR_COMMAND_DECLARE(name) extern const weir_command weir_command_##name;
WEIR_COMMANDS(WEIR_COMMAND_DECLARE)

/** All commands, NULL-terminated, in the order of `weir --help`. */
const weir_command *const *weir_commands(void);

/** Runs `argv[1] argv[2]…` with commands (NULL-terminated), returns the exit code; a program that is called by the name of a command (argv[0], its folder left out) is that
 *  command. Help goes to out, complaints to complaints. */
int weir_command_main(const weir_command *const *commands, int argc, char **argv, FILE *out, FILE *complaints);

/* `--output table|json` for commands that print a table: put weir_output_choices into an ENUM item. */
typedef enum weir_output { WEIR_OUTPUT_TABLE, WEIR_OUTPUT_JSON } weir_output;
extern const char *const weir_output_choices[];
#define WEIR_OUTPUT_ITEM(object, member)                                                                                                                       \
    {                                                                                                                                                          \
        .name = "output", .type = WEIR_CONF_ENUM, .offset = offsetof(object, member), .choices = weir_output_choices, .fallback = "table",                     \
        .doc = "form of what is printed"                                                                                                                       \
    }

/* The pipeline that a command is about: its first argument. */
#define WEIR_PIPELINE_ITEM(object, member)                                                                                                                     \
    {                                                                                                                                                          \
        .name = "pipeline", .type = WEIR_CONF_STRING, .offset = offsetof(object, member), .flags = WEIR_CONF_POSITIONAL | WEIR_CONF_REQUIRED,                  \
        .doc = "name of a pipeline, or path of its file"                                                                                                       \
    }

#endif
