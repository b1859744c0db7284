// One task of the experts of a mixture-of-experts layer in single precision: `nc` columns of one
// expert, for all of its rows.
//
// It goes through the depth in stretches of `kc`, through a stretch in tiles of MR rows. Weights are
// laid out as LAYOUT says (tile.hpp). With FUSE the tiles of gate and up share their inputs.
#include "tile.hpp"

namespace {

// All rows by nc columns over one stretch, from `row` on in tiles of R rows, the rest in halves.
template <int R, int PARTS>
void stretch(Rows<const float> in, long row, long rows, const Matrix (&weights)[PARTS], long first,
             long end, long nc, const Rows<float> (&out)[PARTS]) {
  for (; row + R <= rows; row += R) {
    for (long column = 0; column < nc; column += COLUMNS) {
      Matrix from[PARTS];
      Rows<float> to[PARTS];
      for (int part = 0; part < PARTS; ++part) {
        from[part] = weights[part].from(column);
        to[part] = {out[part].row(row) + column, out[part].step};
      }
      tile<R, PARTS>({in.row(row), in.step}, from, first, end, to);
    }
  }
  if constexpr (R > 1) stretch<R / 2, PARTS>(in, row, rows, weights, first, end, nc, out);
}

template <int PARTS>
void product(Rows<const float> in, long rows, const Matrix (&weights)[PARTS], long kc, long nc,
             const Rows<float> (&out)[PARTS]) {
  for (auto& part : out) {
    for (long r = 0; r < rows; ++r) {
      for (long c = 0; c < nc; ++c) part.row(r)[c] = 0.0f;
    }
  }
  const long depth = weights[0].depth;
  for (long first = 0; first < depth; first += kc) {
    const long end = first + kc < depth ? first + kc : depth;
    stretch<MR, PARTS>(in, 0, rows, weights, first, end, nc, out);
  }
}

}  // namespace

extern "C" {

// in [rows, hidden]; gate, up: the expert's matrices [inter, hidden]; scratch [2, rows, nc];
// between [rows, inter]: columns `column` to `column + nc` become silu(in gate^T) * (in up^T).
void gate_and_up(const float* in, const float* gate, const float* up, float* scratch,
                 float* between, long rows, long hidden, long inter, long column, long kc, long nc) {
  const Rows<const float> from{in, hidden};
  const Rows<float> sums[2] = {{scratch, nc}, {scratch + rows * nc, nc}};
  const Matrix weights[2] = {Matrix{gate, hidden}.from(column), Matrix{up, hidden}.from(column)};
#if FUSE
  product<2>(from, rows, weights, kc, nc, sums);
#else
  for (int part = 0; part < 2; ++part) product<1>(from, rows, {weights[part]}, kc, nc, {sums[part]});
#endif
  for (long r = 0; r < rows; ++r) {
    for (long c = 0; c < nc; c += VECTOR) {
      const Vector value = silu(load(sums[0].row(r) + c)) * load(sums[1].row(r) + c);
      store(between + r * inter + column + c, value);
    }
  }
}

// between [rows, inter]; weights: the expert's down matrix [hidden, inter]; out [rows, hidden]:
// columns `column` to `column + nc` become between down^T.
void down(const float* between, const float* weights, float* out, long rows, long hidden,
          long inter, long column, long kc, long nc) {
  product<1>({between, inter}, rows, {Matrix{weights, inter}.from(column)}, kc, nc,
             {{out + column, hidden}});
}

}  // extern "C"
