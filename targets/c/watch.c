/* Hands the hooks of watch.h to functions that the loader sets. The emulator sets none: it stops at the hooks. */
#include "watch.h"

extern void (*edgec_on_step)(size_t call, const void *memory);
extern void (*edgec_on_rows)(ptrdiff_t, const void *, ptrdiff_t, ptrdiff_t, ptrdiff_t, ptrdiff_t);
void (*edgec_on_step)(size_t call, const void *memory);
void (*edgec_on_rows)(ptrdiff_t, const void *, ptrdiff_t, ptrdiff_t, ptrdiff_t, ptrdiff_t);

void edgec_watch_step(size_t call, const void *memory) {
  if (edgec_on_step) edgec_on_step(call, memory);
}

void edgec_watch_rows(ptrdiff_t stage, const void *memory, ptrdiff_t slot, ptrdiff_t image, ptrdiff_t y0, ptrdiff_t y1) {
  if (edgec_on_rows) edgec_on_rows(stage, memory, slot, image, y0, y1);
}
