/* The files that cmake/embed.cmake compiles in equal those of the source tree, byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/pg.h"

static void embedded_files_equal_their_sources(void **state) {
    (void)state;
    int compared = 0;
    for (const weir_embedded_file *file = weir_embedded_files; file->path; file++, compared++) {
        FILE *source = fopen(file->path, "rb");
        if (!source) {
            print_message("the source tree is not the working directory\n");
            skip();
        }
        weir_buf bytes = {0};
        assert_true(weir_buf_reserve(&bytes, file->len + 1));
        size_t len = fread(bytes.data, 1, file->len + 1, source);
        fclose(source);
        assert_int_equal(len, file->len);
        assert_memory_equal(bytes.data, file->data, len);
        assert_int_equal(file->data[file->len], 0);
        weir_buf_done(&bytes);
    }
    assert_true(compared > 0);
}

static void embedded_files_are_sorted_and_found(void **state) {
    (void)state;
    for (const weir_embedded_file *file = weir_embedded_files; file->path; file++) {
        assert_ptr_equal(weir_embedded_find(file->path), file);
        if (file[1].path) assert_true(strcmp(file->path, file[1].path) < 0);
    }
    const weir_embedded_file *schema = weir_embedded_find("schemas/transaction.avsc");
    assert_non_null(schema);
    assert_int_equal(schema->data[0], '{');
    assert_null(weir_embedded_find("schemas/none.avsc"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(embedded_files_equal_their_sources),
        cmocka_unit_test(embedded_files_are_sorted_and_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
