#include "models/task.h"

#include <string.h>

static const char *const task_names[WEIR_TASK_COUNT] = {
    [WEIR_TASK_BINARY] = "binary", [WEIR_TASK_MULTICLASS] = "multiclass", [WEIR_TASK_REGRESSION] = "regression"};

const char *weir_task_name(weir_task task) {
    return task_names[task];
}

bool weir_task_find(const char *name, weir_task *ret_task) {
    for (int task = 0; task < WEIR_TASK_COUNT; task++) {
        if (strcmp(task_names[task], name) != 0) continue;
        *ret_task = (weir_task)task;
        return true;
    }
    return false;
}
