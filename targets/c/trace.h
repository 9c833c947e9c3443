/* What `edgec bench --layers` compiles a model with: a call of edgec_trace before each kernel call and after the last. */
#ifndef EDGEC_TRACE_H
#define EDGEC_TRACE_H
#include <stddef.h>

#define EDGEC_TRACE(call) edgec_trace(call)
void edgec_trace(size_t call);
#endif
