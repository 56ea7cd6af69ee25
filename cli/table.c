#include "cli/table.h"

#include <math.h>
#include <string.h>

#include "core/mem.h"

enum { TABLE_COLUMNS_MAX = 32, CELL_MAX = 256 };

static const cJSON *member(const cJSON *row, const char *path) {
    char name[64];
    while (row && *path) {
        size_t len = strcspn(path, ".");
        if (len >= sizeof name) return NULL;
        memcpy(name, path, len);
        name[len] = 0;
        row = cJSON_GetObjectItemCaseSensitive(row, name);
        path += len + (path[len] == '.');
    }
    return row;
}

static void print_cell(const cJSON *value, char cell[CELL_MAX]) {
    cell[0] = 0;
    if (cJSON_IsString(value)) {
        snprintf(cell, CELL_MAX, "%s", value->valuestring);
    } else if (cJSON_IsBool(value)) {
        snprintf(cell, CELL_MAX, "%s", cJSON_IsTrue(value) ? "yes" : "no");
    } else if (cJSON_IsNumber(value)) {
        bool whole = value->valuedouble == floor(value->valuedouble) && fabs(value->valuedouble) < 1e15;
        snprintf(cell, CELL_MAX, whole ? "%.0f" : "%.4f", value->valuedouble);
    } else if (cJSON_IsArray(value)) {
        const cJSON *item;
        cJSON_ArrayForEach(item, value) {
            char one[CELL_MAX];
            size_t used = strlen(cell);
            print_cell(item, one);
            snprintf(cell + used, CELL_MAX - used, "%s%s", used ? "," : "", one);
        }
    }
    if (!cell[0]) snprintf(cell, CELL_MAX, "-");
}

/* Width on a terminal, where a UTF-8 character is one column. */
static int width_of(const char *text) {
    int width = 0;
    for (; *text; text++) width += (*text & 0xc0) != 0x80;
    return width;
}

static void pad(FILE *out, const char *text, int width, bool right, bool last) {
    int spaces = width - width_of(text);
    if (right)
        fprintf(out, "%*s%s", spaces, "", text);
    else
        fprintf(out, "%s%*s", text, last ? 0 : spaces, "");
    fputs(last ? "\n" : "  ", out);
}

static void print_table(const cJSON *rows, const weir_table_column *columns, FILE *out) {
    int widths[TABLE_COLUMNS_MAX], count = 0;
    bool numeric[TABLE_COLUMNS_MAX];
    char cell[CELL_MAX];
    const cJSON *row;
    for (; columns[count].path && count < TABLE_COLUMNS_MAX; count++) {
        widths[count] = width_of(columns[count].title);
        numeric[count] = false;
        cJSON_ArrayForEach(row, rows) {
            const cJSON *value = member(row, columns[count].path);
            numeric[count] |= cJSON_IsNumber(value);
            print_cell(value, cell);
            if (width_of(cell) > widths[count]) widths[count] = width_of(cell);
        }
    }
    for (int i = 0; i < count; i++) pad(out, columns[i].title, widths[i], numeric[i], i == count - 1);
    cJSON_ArrayForEach(row, rows) {
        for (int i = 0; i < count; i++) {
            print_cell(member(row, columns[i].path), cell);
            pad(out, cell, widths[i], numeric[i], i == count - 1);
        }
    }
}

weir_status weir_json_print(const cJSON *value, FILE *out, weir_err *err) {
    char *text = cJSON_Print(value);
    if (!text) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for JSON text");
    fprintf(out, "%s\n", text);
    cJSON_free(text);
    return WEIR_OK;
}

weir_status weir_table_print(const cJSON *rows, const weir_table_column *columns, weir_output output, FILE *out, weir_err *err) {
    if (output == WEIR_OUTPUT_JSON) return weir_json_print(rows, out, err);
    print_table(rows, columns, out);
    return WEIR_OK;
}
