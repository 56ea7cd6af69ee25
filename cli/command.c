/* The command table, dispatch and help. */
#include "cli/command.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "core/log.h"
#include "core/mem.h"

enum { COMMANDS_MAX = 64, ITEMS_MAX = 128 };

const char *const weir_output_choices[] = {"table", "json", NULL};

const weir_command *const *weir_commands(void) {
#define WEIR_COMMAND_ADDRESS(name) &weir_command_##name,
    static const weir_command *const commands[] = {WEIR_COMMANDS(WEIR_COMMAND_ADDRESS) NULL};
    return commands;
}

weir_status weir_names_split(char **given, const char **names, size_t max, weir_err *err) {
    size_t count = 0;
    for (; given && *given; given++) {
        char *rest = NULL;
        for (char *name = strtok_r(*given, ",", &rest); name; name = strtok_r(NULL, ",", &rest)) {
            if (count == max) return WEIR_FAIL(err, WEIR_EINVAL, "more than %zu names are given", max);
            names[count++] = name + strspn(name, " ");
        }
    }
    names[count] = NULL;
    return WEIR_OK;
}

weir_status weir_action_find(const char *word, const char *const *choices, int *ret_index, weir_err *err) {
    char names[256] = "";
    for (int i = 0; choices[i]; i++) {
        if (!strcmp(choices[i], word)) {
            *ret_index = i;
            return WEIR_OK;
        }
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", choices[i]);
    }
    const char *near = weir_conf_nearest(word, choices);
    return WEIR_FAIL(err, WEIR_EINVAL, "'%s' is none of %s%s%s%s", word, names, near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

/* A parsed command line. Settings and the command's options lie behind each other in one object, so that one table covers both:
 *
 *     object ──> [ weir_settings | padding to 16 | options of the command ]
 */
typedef struct invocation {
    const weir_command *command;
    weir_conf_item items[ITEMS_MAX]; /* options first, so that positionals and help read naturally */
    char *object;
    size_t options_offset;
} invocation;

static const weir_conf_item no_items[] = {{.name = NULL}};

static size_t item_count(const weir_conf_item *table) {
    size_t n = 0;
    while (table[n].name) n++;
    return n;
}

static weir_status invocation_init(invocation *inv, const weir_command *command, weir_err *err) {
    const weir_conf_item *options = command->options ? command->options : no_items;
    size_t option_count = item_count(options), setting_count = item_count(weir_settings_table);
    if (option_count + setting_count >= ITEMS_MAX) return WEIR_FAIL(err, WEIR_EINTERNAL, "command %s has more than %d options", command->name, ITEMS_MAX);
    inv->command = command;
    inv->options_offset = (sizeof(weir_settings) + 15) & ~(size_t)15;
    for (size_t i = 0; i < option_count; i++) {
        inv->items[i] = options[i];
        inv->items[i].offset += inv->options_offset;
    }
    memcpy(inv->items + option_count, weir_settings_table, (setting_count + 1) * sizeof *inv->items);
    inv->object = weir_mem.realloc(NULL, inv->options_offset + command->options_size);
    if (!inv->object) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the options of %s", command->name);
    memset(inv->object, 0, inv->options_offset + command->options_size);
    return WEIR_OK;
}

static void invocation_done(invocation *inv) {
    if (!inv->object) return;
    weir_conf_done(inv->items, inv->object);
    weir_mem.realloc(inv->object, 0);
}

/* Defaults, then the environment (of the settings; options are said on the command line), then flags. */
static weir_status invocation_parse(invocation *inv, int argc, char **argv, bool *ret_help, weir_err *err) {
    weir_status st = weir_conf_defaults(inv->items, inv->object, err);
    if (!st) st = weir_conf_from_env(weir_settings_table, inv->object, err);
    if (!st) st = weir_conf_from_args(inv->items, inv->object, argc, argv, ret_help, err);
    if (!st && !*ret_help) st = weir_conf_check(inv->items, inv->object, err);
    return st;
}

static int first_line(const char *text) {
    return (int)strcspn(text, "\n");
}

static void print_help(const weir_command *const *commands, FILE *out) {
    int width = 0;
    for (const weir_command *const *c = commands; *c; c++)
        if ((int)strlen((*c)->name) > width) width = (int)strlen((*c)->name);
    fprintf(out, "Weir: event-driven machine learning on Kafka.\n\nusage: weir COMMAND [ARGUMENTS] [OPTIONS]\n\ncommands:\n");
    for (const weir_command *const *c = commands; *c; c++) fprintf(out, "  %-*s  %.*s\n", width, (*c)->name, first_line((*c)->doc), (*c)->doc);
    fprintf(out, "\n`weir COMMAND --help` tells more. Exit codes: 0 done, 1 the answer is no, 2 used wrongly, 3 something it depends on failed.\n");
}

static void print_command_help(const weir_command *command, FILE *out) {
    fprintf(out, "usage: weir %s %s\n\n%s\n", command->name, command->args, command->doc);
    if (command->options && command->options->name) {
        fprintf(out, "\noptions:\n");
        weir_conf_help(command->options, out);
    }
    fprintf(out, "\nsettings of every command, also taken from the environment (WEIR_BROKERS and so on):\n");
    weir_conf_help(weir_settings_table, out);
}

static int complain(const weir_command *command, bool serves, const weir_err *err, FILE *complaints) {
    if (serves && err->code != WEIR_EINVAL)
        weir_log_err(WEIR_LOG_ERROR, "stopped", err);
    else if (command)
        fprintf(complaints, "weir %s: %s\n", command->name, err->message);
    else
        fprintf(complaints, "weir: %s\n", err->message);
    if (err->code == WEIR_EINVAL) fprintf(complaints, "see `weir%s%s --help`\n", command ? " " : "", command ? command->name : "");
    return weir_status_exit(err->code);
}

/* Who closes a pipe has read enough of it. */
static bool has_no_reader(FILE *out) {
    struct pollfd fd = {.fd = fileno(out), .events = POLLOUT};
    return fd.fd >= 0 && poll(&fd, 1, 0) == 1 && fd.revents & POLLERR;
}

/* What was printed has arrived. */
static weir_status flush(FILE *out, weir_err *err) {
    errno = 0;
    bool failed = fflush(out) || ferror(out);
    int why = errno; /* 0: of an earlier write */
    if (!failed || has_no_reader(out)) return WEIR_OK;
    errno = why;
    return WEIR_FAIL(err, WEIR_EIO, "cannot write the output%s%s", errno ? ": " : "", errno ? strerror(errno) : "");
}

static int run_command(const weir_command *command, int argc, char **argv, FILE *out, FILE *complaints) {
    invocation inv = {0};
    weir_err err = {0};
    bool help = false;
    int code = 0;
    weir_status st = invocation_init(&inv, command, &err);
    if (!st) st = invocation_parse(&inv, argc, argv, &help, &err);
    if (!st && help) {
        print_command_help(command, out);
    } else if (!st) {
        const weir_settings *settings = (const weir_settings *)inv.object;
        weir_log_init(stderr, (weir_log_format)settings->log_format, (weir_log_level)settings->log_level);
        st = weir_settings_apply(settings, &err);
        if (!st) st = command->run(settings, inv.object + inv.options_offset, &code, &err);
        if (!st) st = flush(out, &err);
    }
    if (st) {
        bool once = inv.object && command->is_once && command->is_once(inv.object + inv.options_offset);
        code = complain(command, command->is_service && !once, &err, complaints);
    }
    invocation_done(&inv);
    return code;
}

/* A name of two words is a command of a group: "features history". */
static const weir_command *find_command(const weir_command *const *commands, int argc, char **argv, int *ret_words) {
    for (; *commands; commands++) {
        const char *name = (*commands)->name, *space = strchr(name, ' ');
        *ret_words = 1;
        if (!strcmp(name, argv[0])) return *commands;
        *ret_words = 2;
        size_t first = space ? (size_t)(space - name) : 0;
        if (space && argc > 1 && strlen(argv[0]) == first && !strncmp(name, argv[0], first) && !strcmp(space + 1, argv[1])) return *commands;
    }
    return NULL;
}

/* The group was named, and what follows is none of its commands. */
static bool is_group(const weir_command *const *commands, const char *word, const char **members) {
    size_t n = strlen(word), count = 0;
    for (; *commands && count < COMMANDS_MAX - 1; commands++)
        if (!strncmp((*commands)->name, word, n) && (*commands)->name[n] == ' ') members[count++] = (*commands)->name + n + 1;
    members[count] = NULL;
    return count > 0;
}

static int unknown_member(const char *group, const char *const *members, const char *word, FILE *complaints) {
    weir_err err;
    int index;
    weir_status st = weir_action_find(word ? word : "", members, &index, &err);
    if (!st) return 0;
    fprintf(complaints, "weir %s: %s\nsee `weir --help`\n", group, err.message);
    return weir_status_exit(st);
}

static int unknown_command(const weir_command *const *commands, const char *word, FILE *complaints) {
    const char *names[COMMANDS_MAX] = {NULL};
    for (size_t i = 0; i < COMMANDS_MAX - 1 && commands[i]; i++) names[i] = commands[i]->name;
    const char *near = weir_conf_nearest(word, names);
    weir_err err;
    (void)weir_err_set(&err, WEIR_EINVAL, WEIR_ACTION_FATAL, __func__, "'%s' is not a command%s%s%s", word, near ? "; did you mean '" : "", near ? near : "",
                       near ? "'?" : "");
    return complain(NULL, false, &err, complaints);
}

/* The command whose name the program was called by: the executable has links to itself. */
static const weir_command *called_command(const weir_command *const *commands, char *program) {
    char *slash = strrchr(program, '/'), *name = slash ? slash + 1 : program;
    int words;
    return find_command(commands, 1, &name, &words);
}

int weir_command_main(const weir_command *const *commands, int argc, char **argv, FILE *out, FILE *complaints) {
    const char *word = argc > 1 ? argv[1] : NULL;
    const weir_command *called = argc > 0 ? called_command(commands, argv[0]) : NULL;
    if (called) return run_command(called, argc - 1, argv + 1, out, complaints);
    if (!word) {
        print_help(commands, complaints);
        return weir_status_exit(WEIR_EINVAL);
    }
    if (!strcmp(word, "--version") || !strcmp(word, "version")) {
        fprintf(out, "weir %s\n", WEIR_VERSION);
        return 0;
    }
    bool wants_help = !strcmp(word, "help");
    if (!strcmp(word, "--help") || !strcmp(word, "-h") || (wants_help && argc == 2)) {
        print_help(commands, out);
        return 0;
    }
    int from = wants_help ? 2 : 1, words;
    const weir_command *command = find_command(commands, argc - from, argv + from, &words);
    const char *members[COMMANDS_MAX];
    if (!command && is_group(commands, argv[from], members)) return unknown_member(argv[from], members, from + 1 < argc ? argv[from + 1] : NULL, complaints);
    if (!command) return unknown_command(commands, argv[from], complaints);
    if (wants_help) {
        print_command_help(command, out);
        return 0;
    }
    return run_command(command, argc - 1 - words, argv + 1 + words, out, complaints);
}
