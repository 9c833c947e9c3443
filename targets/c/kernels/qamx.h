/* qgemm.h with tiles of AMX: 16 rows of A by 16 columns of B, 64 products each, are one instruction. A is read where it
   lies, B is packed as for dot products: a vector of every group is a row of a tile of B.

   Tiles 0 to 3 hold sums of a vector of columns each. 4 and 5 are A and B of 16 groups, 6 and 7 those of what is left of
   a run, so that all shapes are set once for a call. */
#ifndef EDGEC_QAMX_H
#define EDGEC_QAMX_H

#include "qconv.h"
#include "qmatmul.h"
#include "amx.h"

#if defined(EDGEC_TILE_LOAD)

EDGEC_INLINE void edgec_qamx_begin(int rows, ptrdiff_t groups) {
  const int rest = groups & 15 ? (int)(groups & 15) : 1; /* 1: not used */
  edgec_tile_shapes shapes = {.palette = 1};
  for (int i = 0; i < 8; i++) {
    shapes.row_bytes[i] = (uint16_t)(i == 6 ? 4 * rest : 64);
    shapes.rows[i] = (uint8_t)(i == 5 ? 16 : i == 7 ? rest : rows);
  }
  edgec_tiles_begin(&shapes);
}

/* Vectors of columns one by one: tiles are named in the text. */
#define EDGEC_QAMX_EACH_1(DO) DO(0)
#define EDGEC_QAMX_EACH_2(DO) DO(0) DO(1)
#define EDGEC_QAMX_EACH_3(DO) DO(0) DO(1) DO(2)
#define EDGEC_QAMX_EACH_4(DO) DO(0) DO(1) DO(2) DO(3)
#define EDGEC_QAMX_BIAS(V) EDGEC_TILE_LOAD(V, t->bias + 16 * V, 0); /* the same for every row */
#define EDGEC_QAMX_WHOLE(V)                        \
  EDGEC_TILE_LOAD(5, b + 64 * V, 64 * VECTORS);    \
  EDGEC_TILE_DOT(V, 4, 5);
#define EDGEC_QAMX_REST(V)                         \
  EDGEC_TILE_LOAD(7, b + 64 * V, 64 * VECTORS);    \
  EDGEC_TILE_DOT(V, 6, 7);
#define EDGEC_QAMX_SUMS_OUT(V) EDGEC_TILE_STORE(V, &acc[0][V], 64 * VECTORS);

#define EDGEC_QGEMM_START_TILES(MR, NV)                                                                 \
  enum { VECTORS = NV };                                                                                \
  edgec_vi acc[MR][NV] __attribute__((aligned(64)));                                                    \
  EDGEC_QAMX_EACH_##NV(EDGEC_QAMX_BIAS)
#define EDGEC_QGEMM_TILES(MR, NV)                                                                       \
  const edgec_q8 *row = starts[s] + skip;                                                               \
  for (ptrdiff_t left = groups >> 4; left != 0; left--, row += 64, b += 16 * 64 * (NV)) {               \
    EDGEC_TILE_LOAD(4, row, stride);                                                                    \
    EDGEC_QAMX_EACH_##NV(EDGEC_QAMX_WHOLE)                                                              \
  }                                                                                                     \
  if (groups & 15) {                                                                                    \
    EDGEC_TILE_LOAD(6, row, stride);                                                                    \
    EDGEC_QAMX_EACH_##NV(EDGEC_QAMX_REST)                                                               \
    b += (groups & 15) * 64 * (NV);                                                                     \
  }
#define EDGEC_QGEMM_FINISH_TILES_BYTES(MR, NV) EDGEC_QAMX_EACH_##NV(EDGEC_QAMX_SUMS_OUT) EDGEC_QGEMM_FINISH_BYTES(MR, NV)
#define EDGEC_QGEMM_FINISH_TILES_SHORT(MR, NV) EDGEC_QAMX_EACH_##NV(EDGEC_QAMX_SUMS_OUT) EDGEC_QGEMM_FINISH_SHORT(MR, NV)
#define EDGEC_QGEMM_FINISH_TILES_ONTO_BYTES(MR, NV) \
  EDGEC_QAMX_EACH_##NV(EDGEC_QAMX_SUMS_OUT) EDGEC_QGEMM_FINISH_ONTO_BYTES(MR, NV)
#define EDGEC_QGEMM_FINISH_TILES_ONTO_SHORT(MR, NV) \
  EDGEC_QAMX_EACH_##NV(EDGEC_QAMX_SUMS_OUT) EDGEC_QGEMM_FINISH_ONTO_SHORT(MR, NV)
#define EDGEC_QGEMM_FINISH_TILES_SUMS(MR, NV) EDGEC_QAMX_EACH_##NV(EDGEC_QAMX_SUMS_OUT) EDGEC_QGEMM_FINISH_SUMS(MR, NV)

#define EDGEC_QAMX_TILE(MR, NV) EDGEC_QAMX_OF(TILES_BYTES, edgec_qamx_##MR##x##NV, MR, NV)
#define EDGEC_QAMX_SHORT(MR, NV) EDGEC_QAMX_OF(TILES_SHORT, edgec_qamx_short_##MR##x##NV, MR, NV)
#define EDGEC_QAMX_SUMS(MR, NV) EDGEC_QAMX_OF(TILES_SUMS, edgec_qamx_sums_##MR##x##NV, MR, NV)
#define EDGEC_QAMX_ONTO(MR, NV) EDGEC_QAMX_OF(TILES_ONTO_BYTES, edgec_qamx_onto_##MR##x##NV, MR, NV)
#define EDGEC_QAMX_ONTO_SHORT(MR, NV) EDGEC_QAMX_OF(TILES_ONTO_SHORT, edgec_qamx_onto_short_##MR##x##NV, MR, NV)
#define EDGEC_QAMX_OF(FINISH, NAME, MR, NV)                            \
  EDGEC_QGEMM_TILE_FROM(TILES, TILES, FINISH, NAME##_in_tiles, MR, NV) \
  EDGEC_NOINLINE void NAME(const edgec_qgemm_args *t) {                \
    edgec_qamx_begin(MR, t->groups);                                   \
    NAME##_in_tiles(t);                                                \
    edgec_tiles_end();                                                 \
  }

#else
#define EDGEC_QAMX_TILE(MR, NV) \
  _Static_assert(0, "edgec: compile with the flags of CMakeLists.txt: this source uses tiles of AMX");
#define EDGEC_QAMX_SHORT EDGEC_QAMX_TILE
#define EDGEC_QAMX_SUMS EDGEC_QAMX_TILE
#define EDGEC_QAMX_ONTO EDGEC_QAMX_TILE
#define EDGEC_QAMX_ONTO_SHORT EDGEC_QAMX_TILE
#endif
#endif
