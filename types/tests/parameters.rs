//! Agreed parameters: their ranges, their names, and that a value at its default leaves no trace.

use aegis_types::parameters::ParameterRange;
use aegis_types::{FaultTolerance, Parameter, Parameters, TypesError, WeightsMode};

#[test]
fn every_range_holds_its_default_and_admits_exactly_what_lies_within() {
    for parameter in Parameter::ALL {
        let ParameterRange { default, min, max } = parameter.range();
        assert!(min <= default && default <= max, "{parameter}");
        let mut parameters = Parameters::default();
        for value in [min, default, max] {
            parameters.set(parameter, value).expect("within the range");
            assert_eq!(parameters.get(parameter), value);
        }
        let before = parameters.clone();
        let below = (0..min).take(1).chain(min.checked_sub(1));
        for value in below.chain([max + 1, u64::MAX]) {
            let error = parameters.set(parameter, value).expect_err("outside the range").to_string();
            let expected = format!("{parameter} must be between {min} and {max}, not {value}");
            assert!(error.contains(&expected), "{error}");
            assert_eq!(parameters, before, "a refused value changed something");
        }
    }
}

#[test]
fn all_lists_every_parameter_once_in_order_of_name() {
    assert!(Parameter::ALL.is_sorted_by(|a, b| a.name() < b.name() && a < b));
    assert!(Parameter::ALL.iter().all(|parameter| !parameter.description().is_empty()));
    let listed: Vec<_> = Parameters::default().all().collect();
    let expected: Vec<_> = Parameter::ALL.iter().map(|one| (*one, one.range().default)).collect();
    assert_eq!(listed, expected);
}

#[test]
fn a_parameter_set_back_to_its_default_is_not_listed_as_changed() {
    let mut parameters = Parameters::default();
    parameters.set(Parameter::Window, 4).expect("within range");
    parameters.set(Parameter::EpochLengthMs, 5_000).expect("within range");
    let changed: Vec<_> = parameters.changed().collect();
    assert_eq!(changed, [(Parameter::EpochLengthMs, 5_000), (Parameter::Window, 4)]);
    parameters.set(Parameter::Window, 8).expect("the default");
    parameters.set(Parameter::EpochLengthMs, 60_000).expect("the default");
    assert_eq!(parameters, Parameters::default());
}

/// Were a key forgotten while a proposal under it can still be valid, the proposal could take effect twice.
#[test]
fn no_idempotency_key_is_forgotten_before_the_last_proposal_under_it_expires() {
    let retention = Parameter::IdempotencyRetentionMs.range();
    let lifetime = Parameter::ProposalLifetimeMaxMs.range();
    assert!(retention.min >= lifetime.max, "{} < {}", retention.min, lifetime.max);
}

#[test]
fn text_sets_a_parameter_or_says_what_is_wrong_with_it() {
    let mut parameters = Parameters::default();
    assert_eq!(parameters.set_text("window", "16"), Ok(Parameter::Window));
    assert_eq!(parameters.get(Parameter::Window), 16);
    let cases = [
        ("windw", "16", "`windw` is not known; known are clean_epochs, clock_drift_max_ms"),
        ("Window", "16", "`Window` is not known"),
        ("", "16", "`` is not known"),
        ("window", "", "window takes a whole number"),
        ("window", "1.5", "window takes a whole number"),
        ("window", "-1", "window takes a whole number"),
        ("window", " 1", "window takes a whole number"),
        ("window", "18446744073709551616", "window takes a whole number"),
        ("window", "0", "window must be between 1 and 32, not 0"),
    ];
    for (name, value, message) in cases {
        let error = parameters.set_text(name, value).expect_err(message);
        assert!(error.to_string().contains(message), "`{error}` does not say `{message}`");
    }
    assert_eq!(parameters.get(Parameter::Window), 16, "a refused value changed something");
}

#[test]
fn choices_are_written_as_words_and_in_no_other_way() {
    for parameter in Parameter::ALL {
        let ParameterRange { default, min, max } = parameter.range();
        for value in [default, min, max] {
            assert_eq!(parameter.parse_value(&parameter.value_text(value)), Ok(value), "{parameter}");
        }
    }
    let mut parameters = Parameters::default();
    assert_eq!(parameters.weights_mode(), WeightsMode::Fixed);
    assert_eq!(parameters.fault_tolerance(), FaultTolerance::Safe);
    for (word, mode) in
        [("measured", WeightsMode::Measured), ("equal", WeightsMode::Equal), ("fixed", WeightsMode::Fixed)]
    {
        parameters.set_text("weights_mode", word).expect("a word of the parameter");
        assert_eq!(parameters.weights_mode(), mode);
    }
    for (text, tolerance) in [
        ("fast", FaultTolerance::Fast),
        ("1", FaultTolerance::Fixed(1)),
        ("42", FaultTolerance::Fixed(42)),
        ("safe", FaultTolerance::Safe),
    ] {
        parameters.set_text("fault_tolerance", text).expect("in range");
        assert_eq!(parameters.fault_tolerance(), tolerance);
    }
    for (name, text) in
        [("fault_tolerance", "43"), ("fault_tolerance", "0"), ("weights_mode", "2"), ("core_size", "0")]
    {
        let error = parameters.set_text(name, text).expect_err(text).to_string();
        assert!(error.contains("takes a whole number, such as 1000 or `"), "{error}");
    }
}

#[test]
fn a_weight_policy_given_by_number_must_fit_the_members() {
    let check = |tolerance: &str, core: &str, members| {
        let mut parameters = Parameters::default();
        parameters.set_text("fault_tolerance", tolerance).expect("in range");
        parameters.set_text("core_size", core).expect("in range");
        parameters.check_weight_policy(members)
    };
    for fits in
        [("safe", "profile", 1), ("fast", "profile", 4), ("2", "profile", 7), ("2", "5", 7), ("fast", "3", 7)]
    {
        assert_eq!(check(fits.0, fits.1, fits.2), Ok(()), "{fits:?}");
    }
    assert!(matches!(check("2", "profile", 6), Err(TypesError::TooFewMembers { needed: 7, .. })));
    assert!(matches!(check("2", "4", 7), Err(TypesError::BadCore { smallest: 5, .. })));
    assert!(matches!(check("safe", "8", 7), Err(TypesError::BadCore { .. })));
}

#[test]
fn a_long_unknown_name_is_cut_in_the_message() {
    let error = "x".repeat(100_000).parse::<Parameter>().expect_err("not known");
    assert!(matches!(error, TypesError::Invalid { field: "parameter", .. }));
    assert!(error.to_string().len() < 500);
}
