//! Dense matrices of a few dozen rows and their Cholesky factors: all the linear algebra that phi needs.

/// A matrix in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Dense {
    rows: usize,
    columns: usize,
    entries: Vec<f64>,
}

impl Dense {
    pub(crate) fn zero(rows: usize, columns: usize) -> Self {
        Self { rows, columns, entries: vec![0.0; rows * columns] }
    }

    pub(crate) fn from_fn(rows: usize, columns: usize, entry: impl Fn(usize, usize) -> f64) -> Self {
        let mut matrix = Self::zero(rows, columns);
        for row in 0..rows {
            for column in 0..columns {
                matrix.entries[row * columns + column] = entry(row, column);
            }
        }
        matrix
    }

    /// The lower half of a symmetric matrix, which is all that [`Dense::cholesky`] reads.
    pub(crate) fn lower_from_fn(size: usize, entry: impl Fn(usize, usize) -> f64) -> Self {
        let mut matrix = Self::zero(size, size);
        for row in 0..size {
            for column in 0..=row {
                matrix.entries[row * size + column] = entry(row, column);
            }
        }
        matrix
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn at(&self, row: usize, column: usize) -> f64 {
        self.entries[row * self.columns + column]
    }

    pub(crate) fn set(&mut self, row: usize, column: usize, value: f64) {
        self.entries[row * self.columns + column] = value;
    }

    pub(crate) fn row(&self, row: usize) -> &[f64] {
        &self.entries[row * self.columns..(row + 1) * self.columns]
    }

    pub(crate) fn transposed(&self) -> Self {
        Self::from_fn(self.columns, self.rows, |row, column| self.at(column, row))
    }

    pub(crate) fn times(&self, other: &Self) -> Self {
        let mut product = Self::zero(self.rows, other.columns);
        for row in 0..self.rows {
            for inner in 0..self.columns {
                let factor = self.at(row, inner);
                for column in 0..other.columns {
                    product.entries[row * other.columns + column] += factor * other.at(inner, column);
                }
            }
        }
        product
    }

    pub(crate) fn minus(&self, other: &Self) -> Self {
        Self::from_fn(self.rows, self.columns, |row, column| self.at(row, column) - other.at(row, column))
    }

    pub(crate) fn plus(&self, other: &Self) -> Self {
        Self::from_fn(self.rows, self.columns, |row, column| self.at(row, column) + other.at(row, column))
    }

    /// The rows and columns named, in the order named.
    pub(crate) fn part(&self, rows: &[usize], columns: &[usize]) -> Self {
        Self::from_fn(rows.len(), columns.len(), |row, column| self.at(rows[row], columns[column]))
    }

    /// The lower factor of a symmetric matrix, of which the lower half is read; nothing unless it is positive
    /// definite.
    pub(crate) fn cholesky(&self) -> Option<Cholesky> {
        let size = self.rows;
        let mut factor = self.clone();
        for row in 0..size {
            for column in 0..=row {
                let rest =
                    factor.at(row, column) - dot(&factor.row(row)[..column], &factor.row(column)[..column]);
                if row > column {
                    factor.set(row, column, rest / factor.at(column, column));
                } else if rest > 0.0 && rest.is_finite() {
                    factor.set(row, row, libm::sqrt(rest));
                } else {
                    return None;
                }
            }
        }
        Some(Cholesky { factor })
    }
}

/// The lower Cholesky factor of a positive definite matrix.
#[derive(Debug, Clone)]
pub(crate) struct Cholesky {
    factor: Dense,
}

impl Cholesky {
    /// Natural logarithm of the matrix's determinant.
    pub(crate) fn ln_det(&self) -> f64 {
        (0..self.factor.rows).map(|row| 2.0 * libm::log(self.factor.at(row, row))).sum()
    }

    /// Solves the system in place.
    pub(crate) fn solve(&self, right: &mut [f64]) {
        let size = self.factor.rows;
        for row in 0..size {
            let known = dot(&self.factor.row(row)[..row], &right[..row]);
            right[row] = (right[row] - known) / self.factor.at(row, row);
        }
        for row in (0..size).rev() {
            right[row] /= self.factor.at(row, row);
            let value = right[row];
            for (entry, factor) in right[..row].iter_mut().zip(self.factor.row(row)) {
                *entry -= factor * value;
            }
        }
    }

    /// The inverse times a matrix.
    pub(crate) fn solve_columns(&self, right: &Dense) -> Dense {
        let mut columns = right.transposed();
        for column in 0..columns.rows {
            let width = columns.columns;
            self.solve(&mut columns.entries[column * width..(column + 1) * width]);
        }
        columns.transposed()
    }

    pub(crate) fn inverse(&self) -> Dense {
        let size = self.factor.rows;
        self.solve_columns(&Dense::from_fn(size, size, |row, column| f64::from(u8::from(row == column))))
    }
}

/// The inner product of two slices of equal length. Four sums run side by side: one alone would wait for each addition.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a_fours, a_rest) = a.as_chunks::<4>();
    let (b_fours, b_rest) = b.as_chunks::<4>();
    let mut sums = [0.0; 4];
    for (a, b) in a_fours.iter().zip(b_fours) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    (sums[0] + sums[1]) + (sums[2] + sums[3]) + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hilbert_matrix_is_solved_to_what_its_condition_allows() {
        // Condition 1.5e10 at 8 rows: ten digits are lost of sixteen.
        let hilbert =
            Dense::from_fn(8, 8, |row, column| 1.0 / f64::from(u8::try_from(row + column + 1).unwrap()));
        let cholesky = hilbert.cholesky().unwrap();
        let mut right: Vec<f64> = (0..8).map(|row| hilbert.row(row).iter().sum()).collect();
        cholesky.solve(&mut right);
        assert!(right.iter().all(|entry| (entry - 1.0).abs() < 1e-5), "{right:?}");
        // ln det of the Hilbert matrix of order 8, from its closed form.
        assert!((cholesky.ln_det() + 74.978_427_285).abs() < 1e-7, "{}", cholesky.ln_det());
        let unit = cholesky.inverse().times(&hilbert);
        assert!((0..8).all(|row| (unit.at(row, row) - 1.0).abs() < 1e-4));
    }

    #[test]
    fn what_is_not_positive_definite_has_no_factor() {
        assert!(Dense::from_fn(2, 2, |_, _| 1.0).cholesky().is_none());
        assert!(Dense::from_fn(2, 2, |row, column| f64::from(u8::from(row != column))).cholesky().is_none());
        assert!(Dense::from_fn(1, 1, |_, _| f64::NAN).cholesky().is_none());
    }
}
