/* What `edgec diff` compiles a model with: calls before each kernel call and after the last, and behind rows of blocks. */
#ifndef EDGEC_WATCH_H
#define EDGEC_WATCH_H
#include <stddef.h>

#define EDGEC_TRACE(call) edgec_watch_step(call, &m)
#define EDGEC_ROWS_MADE(stage, memory, slot, image, y0, y1) edgec_watch_rows(stage, memory, slot, image, y0, y1)
void edgec_watch_step(size_t call, const void *memory);
void edgec_watch_rows(ptrdiff_t stage, const void *memory, ptrdiff_t slot, ptrdiff_t image, ptrdiff_t y0, ptrdiff_t y1);
#endif
