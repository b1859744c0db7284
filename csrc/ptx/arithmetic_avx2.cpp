// The arithmetic of the lanes with AVX2 and FMA: CMake compiles this file for such a processor, and
// find_arithmetic asks the machine before it hands these handlers out. Handlers use plain memory
// only, so no function that other files share is compiled here for a processor that they lack.
#define ARITHMETIC arithmetic_avx2
#include "ptx/arithmetic.inc"
