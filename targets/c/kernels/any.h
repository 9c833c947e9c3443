/* Plain loops for element types that have no fast kernel. */
#ifndef EDGEC_ANY_H
#define EDGEC_ANY_H

#include "map.h"

/* y[b][m][n] = a[b][m][k] b[b][k][n] (or [n][k]); sums in WIDE, which wraps where T is an integer. A task is a batch. */
#define EDGEC_MATMUL_ANY(NAME, T, WIDE)                                                                            \
  EDGEC_FN void edgec_matmul_##NAME(const T *a, const T *b, T *y, const int64_t *dims, const int64_t *sa,          \
                                    const int64_t *sb, ptrdiff_t rank, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k,      \
                                    ptrdiff_t transposed, ptrdiff_t begin, ptrdiff_t end) {                        \
    for (ptrdiff_t task = begin; task < end; task++) {                                                             \
      const T *pa = a + edgec_row_offset(task, dims, sa, rank), *pb = b + edgec_row_offset(task, dims, sb, rank);  \
      for (ptrdiff_t i = 0; i < m; i++)                                                                            \
        for (ptrdiff_t j = 0; j < n; j++) {                                                                        \
          WIDE sum = 0;                                                                                            \
          for (ptrdiff_t l = 0; l < k; l++)                                                                        \
            sum += (WIDE)pa[i * k + l] * (WIDE)(transposed ? pb[j * k + l] : pb[l * n + j]);                       \
          y[(task * m + i) * n + j] = (T)sum;                                                                      \
        }                                                                                                          \
    }                                                                                                              \
  }

#endif
