/* Runs a block: a chain or small graph of row kernels, depth-first. The last stage's rows are made `step` at a time;
   before each step every earlier stage makes the rows that its readers need and does not have yet. A stage's rows live
   in a ring, deep enough for what its readers still need (compiler/plan/rows.py computes the depth by this very rule).

   A task is a band of result rows of one image. Tasks that one caller runs in a row go on where the last one stopped;
   each caller uses the rings of its first task, so that callers share nothing. */
#ifndef EDGEC_BLOCK_H
#define EDGEC_BLOCK_H

#include "edgec_base.h"

/* Row y of the reading stage needs rows (y*stride - before) / up ... (y*stride - before + extent - 1) / up of stage
   `from`, rounded down. */
typedef struct {
  int32_t from, stride, before, extent, up;
} edgec_read;

/* The row at a place, 0 for what lies before the first. */
EDGEC_INLINE ptrdiff_t edgec_row_at(ptrdiff_t place, ptrdiff_t up) {
  return place < 0 ? 0 : place / up;
}

typedef struct {
  void (*run)(const void *memory, ptrdiff_t slot, ptrdiff_t image, ptrdiff_t y0, ptrdiff_t y1);
  int32_t rows, first_read, reads;
} edgec_stage;

typedef struct {
  const edgec_stage *stages;
  const edgec_read *reads;
  int32_t count, bands, step, align; /* bands begin at multiples of align, of which step is one */
} edgec_block;

#define EDGEC_STAGES 24

#ifndef EDGEC_ROWS_MADE /* tools that look into blocks define it */
#define EDGEC_ROWS_MADE(stage, memory, slot, image, y0, y1)
#endif

/* How many of the rows first, first + step ... lie below y. */
EDGEC_INLINE ptrdiff_t edgec_phase_row(ptrdiff_t y, ptrdiff_t first, ptrdiff_t step) {
  return (y - first + step - 1) / step;
}

/* Result rows [first, stop) of one image. */
EDGEC_FN void edgec_run_rows(const edgec_block *k, const void *memory, ptrdiff_t slot, ptrdiff_t image, ptrdiff_t first,
                             ptrdiff_t stop) {
  ptrdiff_t have[EDGEC_STAGES], need[EDGEC_STAGES];
  const ptrdiff_t last = k->count - 1;
  for (ptrdiff_t s = 0; s < last; s++) have[s] = k->stages[s].rows;
  have[last] = first;
  for (ptrdiff_t s = last; s >= 0; s--) { /* the first row that each stage makes */
    const edgec_stage *stage = k->stages + s;
    for (ptrdiff_t i = stage->first_read; i < stage->first_read + stage->reads; i++) {
      const edgec_read *r = k->reads + i;
      const ptrdiff_t low = edgec_row_at(have[s] * r->stride - r->before, r->up);
      if (low < have[r->from]) have[r->from] = low;
    }
  }
  for (ptrdiff_t y = first; y < stop; y += k->step) {
    for (ptrdiff_t s = 0; s < last; s++) need[s] = have[s];
    need[last] = y + k->step < stop ? y + k->step : stop;
    for (ptrdiff_t s = last; s >= 0; s--) {
      const edgec_stage *stage = k->stages + s;
      if (need[s] <= have[s]) continue;
      for (ptrdiff_t i = stage->first_read; i < stage->first_read + stage->reads; i++) {
        const edgec_read *r = k->reads + i;
        /* up more is one row more */
        ptrdiff_t high = edgec_row_at((need[s] - 1) * r->stride - r->before + r->extent - 1 + r->up, r->up);
        if (high > k->stages[r->from].rows) high = k->stages[r->from].rows;
        if (high > need[r->from]) need[r->from] = high;
      }
    }
    for (ptrdiff_t s = 0; s <= last; s++) {
      if (need[s] <= have[s]) continue;
      k->stages[s].run(memory, slot, image, have[s], need[s]);
      EDGEC_ROWS_MADE(s, memory, slot, image, have[s], need[s]);
      have[s] = need[s];
    }
  }
}

EDGEC_FN void edgec_run_block(const edgec_block *k, const void *memory, ptrdiff_t begin, ptrdiff_t end) {
  const ptrdiff_t rows = k->stages[k->count - 1].rows, units = (rows + k->align - 1) / k->align;
  for (ptrdiff_t task = begin; task < end;) {
    const ptrdiff_t image = task / k->bands, band = task % k->bands;
    const ptrdiff_t bands = k->bands - band < end - task ? k->bands - band : end - task;
    const ptrdiff_t first = units * band / k->bands * k->align, stop = units * (band + bands) / k->bands * k->align;
    edgec_run_rows(k, memory, begin, image, first, stop < rows ? stop : rows);
    task += bands;
  }
}

#endif
