#include "cli/lineage_picture.h"

#include <string.h>

#include "core/json.h"
#include "core/page.h"
#include "models/lineage.h"

enum { BOX_WIDTH = 216, GAP_X = 56, GAP_Y = 18, MARGIN = 24, HEAD = 56, TITLE_HEIGHT = 26, LINE_HEIGHT = 15, PADDING = 9, LINE_CHARS = 31, TITLE_CHARS = 24 };

static int kind_of(const cJSON *node) {
    int k = 0;
    while (k < WEIR_LINEAGE_KINDS - 1 && strcmp(weir_json_text(node, "kind"), weir_lineage_kinds[k]) != 0) k++;
    return k;
}

static int height_of(const cJSON *node) {
    return TITLE_HEIGHT + LINE_HEIGHT * cJSON_GetArraySize(weir_json_at(node, "lines")) + PADDING;
}

/* ---- text ---- */

void weir_lineage_text(const cJSON *graph, FILE *out) {
    const cJSON *node, *line, *edge, *nodes = weir_json_at(graph, "nodes");
    int last = -1;
    cJSON_ArrayForEach(node, nodes) {
        int kind = kind_of(node);
        if (kind != last) fprintf(out, "%s%s\n", last < 0 ? "" : "\n", weir_lineage_kinds[kind]);
        last = kind;
        fprintf(out, "  %s\n", weir_json_text(node, "title"));
        cJSON_ArrayForEach(line, weir_json_at(node, "lines")) fprintf(out, "    %s\n", line->valuestring);
        cJSON_ArrayForEach(edge, weir_json_at(graph, "edges")) {
            const cJSON *from;
            if (strcmp(weir_json_text(edge, "to"), weir_json_text(node, "id")) != 0) continue;
            cJSON_ArrayForEach(from, nodes) if (!strcmp(weir_json_text(from, "id"), weir_json_text(edge, "from")))
                fprintf(out, "    ← %s %s\n", weir_json_text(from, "kind"), weir_json_text(from, "title"));
        }
    }
}

/* ---- SVG ---- */

static const char style[] = "<style>text{font-family:system-ui,-apple-system,'Segoe "
                            "UI',Roboto,sans-serif;fill:#1f2933}.name{font-size:18px;font-weight:600}.kind{font-size:11px;font-weight:600;"
                            "letter-spacing:.06em;fill:#66727f}.title{font-size:12.5px;font-weight:600}.line{font-size:11px;fill:#48535e}.box{fill:#fff;stroke:"
                            "#c3ccd5}.edge{fill:none;stroke:#9aa7b4;"
                            "stroke-width:1.4}.page{fill:#f6f8fa}.k0{fill:#4477aa}.k1{fill:#228833}.k2{fill:#66ccee}.k3{fill:#ccbb44}.k4{fill:#ee6677}.k5{fill:"
                            "#aa3377}.k6{fill:#7f8a94}"
                            "@media "
                            "(prefers-color-scheme:dark){text{fill:#e6e9ec}.kind{fill:#9aa7b4}.line{fill:#b8c2cc}.box{fill:#20262c;stroke:#3d4852}.edge{stroke:"
                            "#63707d}.page{fill:#14181c}}</style>";

/* Where the graph's nodes are drawn: columns that have no node take no room, and each column is centred. */
typedef struct layout {
    int column[WEIR_LINEAGE_KINDS], columns; /* place of a kind, −1: it has no node */
    int heights[WEIR_LINEAGE_KINDS], height; /* of all boxes of a kind with their gaps; of the highest */
} layout;

static layout make_layout(const cJSON *nodes) {
    layout out = {.columns = 0};
    const cJSON *node;
    for (int k = 0; k < WEIR_LINEAGE_KINDS; k++) out.column[k] = -1;
    cJSON_ArrayForEach(node, nodes) {
        int k = kind_of(node);
        out.heights[k] += height_of(node) + (out.heights[k] ? GAP_Y : 0);
        if (out.column[k] < 0) out.column[k] = out.columns++; /* nodes are in the order of their kinds */
        if (out.heights[k] > out.height) out.height = out.heights[k];
    }
    return out;
}

static int left_of(const layout *at, int kind) {
    return MARGIN + at->column[kind] * (BOX_WIDTH + GAP_X);
}

/* Top of a node's box. */
static int top_of(const layout *at, const cJSON *nodes, const cJSON *wanted) {
    const cJSON *node;
    int kind = kind_of(wanted), top = HEAD + MARGIN + (at->height - at->heights[kind]) / 2;
    cJSON_ArrayForEach(node, nodes) {
        if (node == wanted) break;
        if (kind_of(node) == kind) top += height_of(node) + GAP_Y;
    }
    return top;
}

/* Cut to what fits; characters of UTF-8 stay whole. */
static void put_cut(weir_page *page, const char *text, int chars) {
    char cut[400];
    int n = 0;
    size_t len = 0;
    for (; text[len] && len < sizeof cut - 8; len++) {
        if ((text[len] & 0xc0) != 0x80 && n++ == chars) break;
        cut[len] = text[len];
    }
    if (text[len]) {
        do len--;
        while (len && (cut[len] & 0xc0) == 0x80);
        strcpy(cut + len, "…");
    } else {
        cut[len] = 0;
    }
    weir_page_text(page, cut);
}

static void put_box(weir_page *page, const layout *at, const cJSON *nodes, const cJSON *node) {
    const cJSON *line;
    int kind = kind_of(node), x = left_of(at, kind), y = top_of(at, nodes, node), height = height_of(node), text_y = y + TITLE_HEIGHT + 10;
    weir_page_put(page, "<g><title>");
    weir_page_text(page, weir_json_text(node, "id"));
    cJSON_ArrayForEach(line, weir_json_at(node, "lines")) {
        weir_page_put(page, "\n");
        weir_page_text(page, line->valuestring);
    }
    weir_page_printf(page, "</title><rect class=\"box\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"6\"/>", x, y, BOX_WIDTH, height);
    weir_page_printf(page, "<rect class=\"k%d\" x=\"%d\" y=\"%d\" width=\"4\" height=\"%d\" rx=\"2\"/><text class=\"title\" x=\"%d\" y=\"%d\">", kind, x, y,
                     height, x + 13, y + 18);
    put_cut(page, weir_json_text(node, "title"), TITLE_CHARS);
    weir_page_put(page, "</text>");
    cJSON_ArrayForEach(line, weir_json_at(node, "lines")) {
        weir_page_printf(page, "<text class=\"line\" x=\"%d\" y=\"%d\">", x + 13, text_y);
        put_cut(page, line->valuestring, LINE_CHARS);
        weir_page_put(page, "</text>");
        text_y += LINE_HEIGHT;
    }
    weir_page_put(page, "</g>\n");
}

static const cJSON *find_node(const cJSON *nodes, const char *id) {
    const cJSON *node;
    cJSON_ArrayForEach(node, nodes) if (!strcmp(weir_json_text(node, "id"), id)) return node;
    return NULL;
}

static void put_edge(weir_page *page, const layout *at, const cJSON *nodes, const cJSON *edge) {
    const cJSON *from = find_node(nodes, weir_json_text(edge, "from")), *to = find_node(nodes, weir_json_text(edge, "to"));
    if (!from || !to) return;
    bool back = kind_of(to) < kind_of(from); /* a run went on from a version */
    int x1 = left_of(at, kind_of(from)) + (back ? 0 : BOX_WIDTH), x2 = left_of(at, kind_of(to)) + (back ? BOX_WIDTH + 6 : -6), bend = (x2 - x1) / 2;
    int y1 = top_of(at, nodes, from) + height_of(from) / 2, y2 = top_of(at, nodes, to) + height_of(to) / 2;
    weir_page_printf(page, "<path class=\"edge\" marker-end=\"url(#arrow)\" d=\"M%d %dC%d %d %d %d %d %d\"/>\n", x1, y1, x1 + bend, y1, x2 - bend, y2, x2, y2);
}

weir_status weir_lineage_svg(const cJSON *graph, weir_buf *ret_svg, weir_err *err) {
    weir_page page = {.buf = ret_svg};
    const cJSON *nodes = weir_json_at(graph, "nodes"), *item;
    layout at = make_layout(nodes);
    int width = 2 * MARGIN + at.columns * (BOX_WIDTH + GAP_X) - GAP_X, height = HEAD + 2 * MARGIN + at.height;
    weir_page_printf(&page, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" role=\"img\"><title>Lineage of ", width,
                     height, width, height);
    weir_page_text(&page, weir_json_text(graph, "pipeline"));
    weir_page_put(&page, "</title>\n");
    weir_page_put(&page, style);
    weir_page_printf(
        &page,
        "\n<defs><marker id=\"arrow\" viewBox=\"0 0 8 8\" refX=\"5\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" "
        "fill=\"#9aa7b4\"/></marker></defs><rect class=\"page\" width=\"%d\" height=\"%d\"/><text class=\"name\" x=\"%d\" y=\"32\">Lineage of ",
        width, height, MARGIN);
    weir_page_text(&page, weir_json_text(graph, "pipeline"));
    weir_page_put(&page, "</text>\n");
    for (int k = 0; k < WEIR_LINEAGE_KINDS; k++)
        if (at.column[k] >= 0) weir_page_printf(&page, "<text class=\"kind\" x=\"%d\" y=\"%d\">%s</text>\n", left_of(&at, k), HEAD + 8, weir_lineage_kinds[k]);
    cJSON_ArrayForEach(item, weir_json_at(graph, "edges")) put_edge(&page, &at, nodes, item);
    cJSON_ArrayForEach(item, nodes) put_box(&page, &at, nodes, item);
    weir_page_put(&page, "</svg>\n");
    return page.failed ? WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the picture") : WEIR_OK;
}
