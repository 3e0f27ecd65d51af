//! Random numbers that are the same for the same seed, and the shapes that loads are made of.

/// A small generator with 64 bits of state (a Weyl sequence through a mixing function).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(mix(seed))
    }

    #[inline]
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number in `0..end`; the bias of 2^-64 per value is below what anybody can measure.
    #[inline]
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }

    /// A number in `0.0..1.0`.
    #[inline]
    pub(crate) fn unit(&mut self) -> f64 {
        unit(self.next())
    }
}

/// Spreads every bit of `value` over all bits of the result.
#[inline]
pub(crate) fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// The upper 53 bits as a number in `0.0..1.0`.
#[inline]
pub(crate) fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

/// A normal variate (mean 0, deviation 1) that belongs to `seed`: Box and Muller's transform.
pub(crate) fn normal(seed: u64) -> f64 {
    let first = 1.0 - unit(mix(seed ^ 0x5bd1_e995)); // in (0, 1]: its logarithm exists
    let second = unit(mix(seed ^ 0xc2b2_ae35));
    (-2.0 * first.ln()).sqrt() * (std::f64::consts::TAU * second).cos()
}

/// Ranks `0..count` with probability proportional to `1 / (rank + 1)^exponent`.
///
/// Rejection-inversion after Hoermann and Derflinger (1996): no table, constant time, any exponent
/// from 0 on. The density is inverted through its integral, and the few points that fall between
/// curve and histogram are drawn again.
#[derive(Clone, Debug)]
pub(crate) struct Zipf {
    count: f64,
    exponent: f64,
    area_first: f64,
    area_all: f64,
    /// Closer to the rounded rank than this, a point always lies under the histogram.
    sure: f64,
}

impl Zipf {
    pub(crate) fn new(count: u64, exponent: f64) -> Self {
        assert!(count > 0 && exponent >= 0.0, "no such distribution");
        let mut zipf = Self {
            count: count as f64,
            exponent,
            area_first: 0.0,
            area_all: 0.0,
            sure: 0.0,
        };
        zipf.area_first = zipf.area(1.5) - 1.0;
        zipf.area_all = zipf.area(zipf.count + 0.5);
        zipf.sure = 2.0 - zipf.area_inverse(zipf.area(2.5) - zipf.weight(2.0));
        zipf
    }

    pub(crate) fn sample(&self, random: &mut Random) -> u64 {
        loop {
            let area = self.area_all + random.unit() * (self.area_first - self.area_all);
            let point = self.area_inverse(area);
            let rank = point.round().clamp(1.0, self.count);
            if rank - point <= self.sure || area >= self.area(rank + 0.5) - self.weight(rank) {
                return rank as u64 - 1;
            }
        }
    }

    fn weight(&self, x: f64) -> f64 {
        (-self.exponent * x.ln()).exp()
    }

    /// The integral of the weight; near exponent 1 the power formula loses all its digits.
    fn area(&self, x: f64) -> f64 {
        let power = 1.0 - self.exponent;
        if power.abs() < 1e-9 {
            return x.ln();
        }
        ((power * x.ln()).exp() - 1.0) / power
    }

    fn area_inverse(&self, area: f64) -> f64 {
        let power = 1.0 - self.exponent;
        if power.abs() < 1e-9 {
            return area.exp();
        }
        // Rounding may put the largest area just below the end of the logarithm's domain.
        ((power * area).max(-1.0).ln_1p() / power).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zipf_has_the_shape_it_promises() {
        for exponent in [0.0, 0.5, 0.99, 1.0, 1.4] {
            let (count, draws) = (1000, 400_000);
            let zipf = Zipf::new(count, exponent);
            let mut random = Random::new(7);
            let mut seen = vec![0u32; count as usize];
            for _ in 0..draws {
                seen[zipf.sample(&mut random) as usize] += 1;
            }
            let weight = |rank: usize| ((rank + 1) as f64).powf(-exponent);
            let total: f64 = (0..1000).map(weight).sum();
            for rank in [0, 1, 2, 9, 99] {
                let expected = weight(rank) / total * f64::from(draws);
                let found = f64::from(seen[rank]);
                let slack = 5.0 * expected.sqrt() + 1.0;
                assert!(
                    (found - expected).abs() < slack,
                    "s={exponent}, rank {rank}: {found} is not {expected}"
                );
            }
            let tail: u32 = seen[500..].iter().sum();
            let expected = (500..1000).map(weight).sum::<f64>() / total * f64::from(draws);
            assert!((f64::from(tail) - expected).abs() < 5.0 * expected.sqrt());
        }
    }

    #[test]
    fn one_key_is_always_the_first() {
        let mut random = Random::new(1);
        assert!((0..100).all(|_| Zipf::new(1, 0.99).sample(&mut random) == 0));
    }

    #[test]
    fn below_reaches_both_ends_and_nothing_more() {
        let mut random = Random::new(3);
        let mut seen = [0; 5];
        for _ in 0..1000 {
            seen[random.below(5) as usize] += 1;
        }
        assert!(seen.iter().all(|&count| count > 100), "{seen:?}");
    }

    #[test]
    fn normal_variates_have_mean_zero_and_deviation_one() {
        let draws: Vec<f64> = (0..100_000).map(normal).collect();
        let mean = draws.iter().sum::<f64>() / 1e5;
        let variance = draws.iter().map(|x| x * x).sum::<f64>() / 1e5;
        assert!(mean.abs() < 0.02, "{mean}");
        assert!((variance - 1.0).abs() < 0.03, "{variance}");
    }
}
