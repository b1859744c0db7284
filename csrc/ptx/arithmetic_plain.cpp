// The arithmetic of the lanes for any processor.
#define ARITHMETIC arithmetic_plain
#include "ptx/arithmetic.inc"
