//! Orders of samples.

/// The middle of the samples; of an even number, the lower of the two.
pub fn median(samples: impl Iterator<Item = f64>) -> f64 {
    percentile(samples, 50)
}

/// The least sample that at least `percent` of all do not exceed; not a number when there is none.
pub fn percentile(samples: impl Iterator<Item = f64>, percent: usize) -> f64 {
    let mut samples = samples.collect::<Vec<_>>();
    samples.sort_by(f64::total_cmp);
    let rank = (samples.len() * percent).div_ceil(100);
    samples.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}
