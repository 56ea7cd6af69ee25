/* A bucket is a list of pieces, oldest first: blocks of memory and, once the budget was exceeded, extents of the file. Written are always all full blocks of all buckets: what
 * is being filled stays.
 *
 *     bucket:  [extent][extent][block][block][block being filled] */
#include "features/spill.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK_BYTES = 64 << 10 };

typedef struct piece {
    char *block; /* NULL: an extent of the file */
    int64_t at; /* in the file */
    int64_t bytes;
} piece;

typedef struct bucket {
    piece *pieces;
    int count, capacity;
    int64_t records; /* not taken yet */
    int first; /* piece that holds the oldest, */
    int64_t taken; /* after these bytes of it */
} bucket;

struct weir_spill {
    weir_budget *budget;
    size_t stride, block_bytes; /* a whole number of records */
    int bucket_count, fd;
    int64_t file_bytes, records;
    bucket buckets[];
};

weir_status weir_spill_new(int bucket_count, size_t stride, weir_budget *budget, weir_spill **ret_spill, weir_err *err) {
    size_t size = sizeof(weir_spill) + (size_t)bucket_count * sizeof(bucket);
    weir_spill *spill = weir_mem.realloc(NULL, size);
    if (!spill) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d buckets", bucket_count);
    memset(spill, 0, size);
    spill->budget = budget;
    spill->stride = stride;
    spill->block_bytes = stride > BLOCK_BYTES ? stride : BLOCK_BYTES / stride * stride;
    spill->bucket_count = bucket_count;
    spill->fd = -1;
    *ret_spill = spill;
    return WEIR_OK;
}

/* Blocks are counted at their whole size, however full they are. */
static void drop_pieces(weir_spill *spill, bucket *b) {
    for (int i = 0; i < b->count; i++) {
        if (!b->pieces[i].block) continue;
        free(b->pieces[i].block);
        spill->budget->used_bytes -= (int64_t)spill->block_bytes;
    }
    free(b->pieces);
    *b = (bucket){0};
}

void weir_spill_free(weir_spill *spill) {
    if (!spill) return;
    for (int i = 0; i < spill->bucket_count; i++) drop_pieces(spill, &spill->buckets[i]);
    if (spill->fd >= 0) close(spill->fd);
    free(spill);
}

static weir_status open_file(weir_spill *spill, weir_err *err) {
    const char *base = getenv("TMPDIR");
    char path[4096];
    if (!base || !*base) base = "/tmp";
    if (snprintf(path, sizeof path, "%s/weir-spill-XXXXXX", base) >= (int)sizeof path) return WEIR_FAIL(err, WEIR_EIO, "the name of TMPDIR is too long");
    spill->fd = mkstemp(path);
    if (spill->fd < 0) return WEIR_FAIL(err, WEIR_EIO, "cannot make a file in %s: %s", base, strerror(errno));
    unlink(path);
    return WEIR_OK;
}

static weir_status write_block(weir_spill *spill, piece *p, weir_err *err) {
    for (int64_t done = 0; done < p->bytes;) {
        ssize_t n = pwrite(spill->fd, p->block + done, (size_t)(p->bytes - done), spill->file_bytes + done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return WEIR_FAIL(err, WEIR_EIO, "cannot write the spill file (TMPDIR): %s", strerror(errno));
        done += n;
    }
    free(p->block);
    *p = (piece){.at = spill->file_bytes, .bytes = p->bytes};
    spill->file_bytes += p->bytes;
    spill->budget->used_bytes -= (int64_t)spill->block_bytes;
    spill->budget->spilled_bytes += p->bytes;
    return WEIR_OK;
}

/* All full blocks go; extents that follow each other become one. */
static weir_status write_out(weir_spill *spill, weir_err *err) {
    weir_status status = spill->fd < 0 ? open_file(spill, err) : WEIR_OK;
    for (int i = 0; !status && i < spill->bucket_count; i++) {
        bucket *b = &spill->buckets[i];
        int kept = 0;
        for (int k = 0; k < b->count; k++) {
            piece *p = &b->pieces[k];
            if (!status && p->block && (size_t)p->bytes == spill->block_bytes) status = write_block(spill, p, err);
            piece *last = kept ? &b->pieces[kept - 1] : NULL;
            if (last && !last->block && !p->block && last->at + last->bytes == p->at)
                last->bytes += p->bytes;
            else
                b->pieces[kept++] = *p;
        }
        b->count = kept;
    }
    return status;
}

static weir_status add_block(weir_spill *spill, bucket *b, weir_err *err) {
    if (spill->budget->used_bytes + (int64_t)spill->block_bytes > spill->budget->max_bytes) {
        weir_status status = write_out(spill, err);
        if (status) return status;
    }
    if (b->count == b->capacity) {
        int capacity = b->capacity ? 2 * b->capacity : 4;
        piece *pieces = weir_mem.realloc(b->pieces, (size_t)capacity * sizeof *pieces);
        if (!pieces) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a bucket");
        b->pieces = pieces;
        b->capacity = capacity;
    }
    char *block = weir_mem.realloc(NULL, spill->block_bytes);
    if (!block) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a block");
    b->pieces[b->count++] = (piece){.block = block};
    spill->budget->used_bytes += (int64_t)spill->block_bytes;
    return WEIR_OK;
}

void *weir_spill_add(weir_spill *spill, int index, weir_err *err) {
    bucket *b = &spill->buckets[index];
    if (!b->count || (size_t)b->pieces[b->count - 1].bytes == spill->block_bytes) {
        if (add_block(spill, b, err)) return NULL;
    }
    piece *p = &b->pieces[b->count - 1];
    void *record = p->block + p->bytes;
    p->bytes += (int64_t)spill->stride;
    b->records++;
    spill->records++;
    return record;
}

int64_t weir_spill_count(const weir_spill *spill, int index) {
    return spill->buckets[index].records;
}

int64_t weir_spill_total(const weir_spill *spill) {
    return spill->records;
}

static weir_status read_file(const weir_spill *spill, int64_t at, int64_t bytes, char *to, weir_err *err) {
    for (int64_t done = 0; done < bytes;) {
        ssize_t n = pread(spill->fd, to + done, (size_t)(bytes - done), at + done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return WEIR_FAIL(err, WEIR_EIO, "cannot read the spill file (TMPDIR): %s", n ? strerror(errno) : "it ended");
        done += n;
    }
    return WEIR_OK;
}

/* Moves the oldest bytes out; blocks that are done with go. */
static weir_status take_bytes(weir_spill *spill, bucket *b, char *to, int64_t bytes, weir_err *err) {
    weir_status status = WEIR_OK;
    while (!status && bytes) {
        piece *p = &b->pieces[b->first];
        int64_t n = p->bytes - b->taken < bytes ? p->bytes - b->taken : bytes;
        if (p->block)
            memcpy(to, p->block + b->taken, (size_t)n);
        else
            status = read_file(spill, p->at + b->taken, n, to, err);
        to += n;
        bytes -= n;
        b->taken += n;
        if (b->taken < p->bytes) continue;
        b->taken = 0;
        b->first++;
        if (!p->block) continue;
        free(p->block);
        p->block = NULL;
        spill->budget->used_bytes -= (int64_t)spill->block_bytes;
    }
    return status;
}

weir_status weir_spill_take(weir_spill *spill, int index, int64_t max_count, void **ret_records, int64_t *ret_count, weir_err *err) {
    bucket *b = &spill->buckets[index];
    int64_t count = b->records < max_count ? b->records : max_count;
    *ret_records = NULL;
    *ret_count = 0;
    if (!count) return WEIR_OK;
    char *records = weir_mem.realloc(NULL, (size_t)count * spill->stride);
    if (!records) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %lld records of a bucket", (long long)count);
    weir_status status = take_bytes(spill, b, records, count * (int64_t)spill->stride, err);
    if (status) {
        free(records);
        return status;
    }
    b->records -= count;
    *ret_records = records;
    *ret_count = count;
    return WEIR_OK;
}
