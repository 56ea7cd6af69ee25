/* A graph as SVG and as text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "cli/lineage_picture.h"
#include "tests/unit/starve.h"

static const char graph_json[] =
    "{\"pipeline\": \"p<&\\\"\", \"nodes\": [{\"id\": \"data:e\", \"kind\": \"data\", \"title\": \"events & more\", \"lines\": [\"a < b\", "
    "\"äöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöü\"]},"
    " {\"id\": \"version:m/1\", \"kind\": \"version\", \"title\": \"a title that is much longer than any box is wide\", \"lines\": []},"
    " {\"id\": \"version:m/2\", \"kind\": \"version\", \"title\": \"m 2\", \"lines\": [\"x\"]}],"
    " \"edges\": [{\"from\": \"data:e\", \"to\": \"version:m/1\"}, {\"from\": \"data:e\", \"to\": \"version:m/2\"}, {\"from\": \"data:e\", \"to\": "
    "\"nowhere\"}]}";

static int count_of(const char *text, const char *part) {
    int n = 0;
    for (const char *at = text; (at = strstr(at, part)); at += strlen(part)) n++;
    return n;
}

static void a_picture_has_every_node_and_edge(void **state) {
    (void)state;
    cJSON *graph = cJSON_Parse(graph_json);
    weir_buf svg = {0};
    weir_err err;
    assert_non_null(graph);
    assert_int_equal(weir_lineage_svg(graph, &svg, &err), WEIR_OK);
    assert_int_equal(count_of(svg.data, "class=\"box\""), 3);
    assert_int_equal(count_of(svg.data, "class=\"edge\""), 2); /* one leads to no node */
    assert_int_equal(count_of(svg.data, "class=\"kind\""), 2); /* kinds that no node has take no room */
    assert_non_null(strstr(svg.data, "events &amp; more"));
    assert_null(strstr(svg.data, "longer than any box is wide</text>"));
    assert_null(strstr(svg.data, "http://www.w3.org/1999")); /* nothing from elsewhere */
    weir_buf_done(&svg);
    cJSON_Delete(graph);
}

static void text_says_where_each_node_comes_from(void **state) {
    (void)state;
    char text[2000] = "";
    cJSON *graph = cJSON_Parse(graph_json);
    FILE *out = fmemopen(text, sizeof text, "w");
    assert_true(graph && out);
    weir_lineage_text(graph, out);
    fclose(out);
    assert_int_equal(count_of(text, "← data events & more\n"), 2);
    assert_int_equal(count_of(text, "\nversion\n"), 1);
    cJSON_Delete(graph);
}

static void memory_that_runs_out_is_said(void **state) {
    (void)state;
    weir_allocator before = weir_mem;
    cJSON *graph = cJSON_Parse(graph_json);
    weir_status status = WEIR_ENOMEM;
    weir_err err;
    int n = 0;
    for (; status && n < 200; n++) {
        weir_buf svg = {0};
        allocations_left = n;
        weir_mem.realloc = failing_realloc;
        status = weir_lineage_svg(graph, &svg, &err);
        weir_mem = before;
        if (status) assert_int_equal(status, WEIR_ENOMEM);
        weir_buf_done(&svg);
    }
    assert_true(n > 1 && n < 200);
    cJSON_Delete(graph);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_picture_has_every_node_and_edge),
        cmocka_unit_test(text_says_where_each_node_comes_from),
        cmocka_unit_test(memory_that_runs_out_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
