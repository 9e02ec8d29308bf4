//! Quantiles of the normal and tails of the chi-square distribution.

/// The normal quantile: `Phi^-1(p)`, infinite at 0 and 1. Wichura's algorithm AS 241 (PPND16), relative error about
/// 1e-16.
pub fn normal_quantile(p: f64) -> f64 {
    let q = p - 0.5;
    if q.abs() <= 0.425 {
        let r = 0.180_625 - q * q;
        return q * polynomial(&CENTRE.0, r) / polynomial(&CENTRE.1, r);
    }
    let tail = if q < 0.0 { p } else { 1.0 - p };
    if tail <= 0.0 {
        return f64::INFINITY.copysign(q);
    }
    let r = libm::sqrt(-libm::log(tail));
    let value = if r <= 5.0 {
        polynomial(&NEAR.0, r - 1.6) / polynomial(&NEAR.1, r - 1.6)
    } else {
        polynomial(&FAR.0, r - 5.0) / polynomial(&FAR.1, r - 5.0)
    };
    value.copysign(q)
}

/// The probability that a chi-square variable of `2 half` degrees of freedom exceeds `x`.
///
/// For an even number of degrees the tail is a finite sum: `e^(-x/2) sum_(k < half) (x/2)^k / k!`. The test of a cut
/// always has an even number, `2 n1 n2`.
pub fn chi_square_tail(x: f64, half: u32) -> f64 {
    let y = x.max(0.0) / 2.0;
    if half == 0 || y.is_nan() {
        return f64::from(u8::from(half == 0 && y == 0.0));
    }
    let mut term = libm::exp(-y);
    let mut sum = term;
    for k in 1..half {
        term *= y / f64::from(k);
        sum += term;
    }
    sum.clamp(0.0, 1.0)
}

/// Rank-based normal scores: `Phi^-1((rank - 1/2) / n)`, ties share their middle rank. Depends on the order of the
/// values alone, so every result built on it is invariant to monotone rescaling.
pub fn normal_scores(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut scores = vec![0.0; values.len()];
    let mut start = 0;
    while start < order.len() {
        let tied =
            order[start..].iter().take_while(|index| values[**index] == values[order[start]]).count().max(1);
        // Positions start + 1 to start + tied, less one half each.
        let middle = as_f64(2 * start + tied) / 2.0;
        let score = normal_quantile(middle / as_f64(values.len()));
        for index in &order[start..start + tied] {
            scores[*index] = score;
        }
        start += tied;
    }
    scores
}

/// A count as a floating-point number; exact up to 2^53.
#[allow(clippy::cast_precision_loss, reason = "counts of samples are far below 2^53")]
pub(crate) fn as_f64(count: usize) -> f64 {
    count as f64
}

fn polynomial(coefficients: &[f64; 8], x: f64) -> f64 {
    coefficients.iter().rev().fold(0.0, |sum, coefficient| sum * x + coefficient)
}

type Rational = ([f64; 8], [f64; 8]);

#[allow(clippy::excessive_precision, reason = "as published")]
const CENTRE: Rational = (
    [
        3.387_132_872_796_366_608,
        1.331_416_678_917_843_774_5e2,
        1.971_590_950_306_551_442_7e3,
        1.373_169_376_550_946_112_5e4,
        4.592_195_393_154_987_145_7e4,
        6.726_577_092_700_870_085_3e4,
        3.343_057_558_358_812_810_5e4,
        2.509_080_928_730_122_672_7e3,
    ],
    [
        1.0,
        4.231_333_070_160_091_125_2e1,
        6.871_870_074_920_579_083e2,
        5.394_196_021_424_751_107_7e3,
        2.121_379_430_158_659_586_7e4,
        3.930_789_580_009_271_061e4,
        2.872_908_573_572_194_267_4e4,
        5.226_495_278_852_854_561e3,
    ],
);

#[allow(clippy::excessive_precision, reason = "as published")]
const NEAR: Rational = (
    [
        1.423_437_110_749_683_577_34,
        4.630_337_846_156_545_295_9,
        5.769_497_221_460_691_405_5,
        3.647_848_324_763_204_605_04,
        1.270_458_252_452_368_382_58,
        2.417_807_251_774_506_117_7e-1,
        2.272_384_498_926_918_458_33e-2,
        7.745_450_142_783_414_076_4e-4,
    ],
    [
        1.0,
        2.053_191_626_637_758_821_87,
        1.676_384_830_183_803_849_4,
        6.897_673_349_851_000_045_5e-1,
        1.481_039_764_274_800_745_9e-1,
        1.519_866_656_361_645_719_66e-2,
        5.475_938_084_995_344_946e-4,
        1.050_750_071_644_416_843_24e-9,
    ],
);

#[allow(clippy::excessive_precision, reason = "as published")]
const FAR: Rational = (
    [
        6.657_904_643_501_103_777_2,
        5.463_784_911_164_114_369_9,
        1.784_826_539_917_291_335_8,
        2.965_605_718_285_048_912_3e-1,
        2.653_218_952_657_612_309_3e-2,
        1.242_660_947_388_078_438_6e-3,
        2.711_555_568_743_487_578_15e-5,
        2.010_334_399_292_288_132_65e-7,
    ],
    [
        1.0,
        5.998_322_065_558_879_376_9e-1,
        1.369_298_809_227_358_053_1e-1,
        1.487_536_129_085_061_485_25e-2,
        7.868_691_311_456_132_591e-4,
        1.846_318_317_510_054_681_8e-5,
        1.421_511_758_316_445_888_7e-7,
        2.044_263_103_389_939_785_64e-15,
    ],
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_quantiles_of_the_published_test_points() {
        // The test values that accompany AS 241.
        for (p, quantile) in [
            (0.25, -0.674_489_750_196_081_7),
            (0.001, -3.090_232_306_167_813_5),
            (1e-20, -9.262_340_089_798_408),
            (0.975, 1.959_963_984_540_054),
            (0.5, 0.0),
        ] {
            assert!((normal_quantile(p) - quantile).abs() < 1e-14, "{p}: {}", normal_quantile(p));
        }
        assert!(normal_quantile(0.0).is_infinite() && normal_quantile(1.0) > 1e300);
    }

    #[test]
    fn chi_square_tails_of_the_tables() {
        for (x, half, tail) in [(5.991_464_547, 1, 0.05), (28.869_299_43, 9, 0.05), (34.805_305_73, 9, 0.01)]
        {
            assert!((chi_square_tail(x, half) - tail).abs() < 1e-9, "{x}");
        }
        assert!((chi_square_tail(0.0, 3) - 1.0).abs() < 1e-15);
        assert!(chi_square_tail(1e6, 30) < 1e-300);
    }

    #[test]
    fn scores_depend_on_order_alone_and_ties_share() {
        let values = [3.0, 1.0, 2.0, 2.0];
        let scores = normal_scores(&values);
        let cubed: Vec<f64> = values.iter().map(|value: &f64| value.powi(3) - 7.0).collect();
        assert_eq!(scores, normal_scores(&cubed));
        assert!((scores[2] - scores[3]).abs() < 1e-15);
        assert!((scores[0] - normal_quantile(0.875)).abs() < 1e-15);
        assert!(scores.iter().sum::<f64>().abs() < 1e-12);
        assert!(normal_scores(&[]).is_empty());
        assert_eq!(normal_scores(&[f64::NAN]).len(), 1);
    }
}
