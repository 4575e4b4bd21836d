//! Linear equations of a symmetric positive definite matrix.

/// Solves `a x = b` by Cholesky; `None` if `a` is not positive definite.
pub fn solve(mut a: Vec<Vec<f64>>, b: &[f64]) -> Option<Vec<f64>> {
    let n = b.len();
    for i in 0..n {
        let (done, rest) = a.split_at_mut(i);
        let row = &mut rest[0];
        for j in 0..i {
            let dot: f64 = row[..j].iter().zip(&done[j][..j]).map(|(x, y)| x * y).sum();
            row[j] = (row[j] - dot) / done[j][j];
        }
        let left = row[i] - row[..i].iter().map(|x| x * x).sum::<f64>();
        if left.is_nan() || left <= 0.0 {
            return None;
        }
        row[i] = left.sqrt();
    }
    let mut x = b.to_vec();
    for i in 0..n {
        let dot: f64 = a[i][..i].iter().zip(&x[..i]).map(|(l, y)| l * y).sum();
        x[i] = (x[i] - dot) / a[i][i];
    }
    for i in (0..n).rev() {
        let dot: f64 = (i + 1..n).map(|j| a[j][i] * x[j]).sum();
        x[i] = (x[i] - dot) / a[i][i];
    }
    Some(x)
}

#[cfg(test)]
mod tests {
    #[test]
    fn solves_what_was_multiplied() {
        let a = vec![vec![4.0, 1.0, 0.5], vec![1.0, 3.0, 0.2], vec![0.5, 0.2, 2.0]];
        let x = [1.0, -2.0, 3.0];
        let b: Vec<f64> = a.iter().map(|r: &Vec<f64>| r.iter().zip(&x).map(|(p, q)| p * q).sum()).collect();
        let found = super::solve(a, &b).unwrap();
        assert!(found.iter().zip(&x).all(|(p, q)| (p - q).abs() < 1e-12));
        assert!(super::solve(vec![vec![-1.0]], &[1.0]).is_none());
    }
}
