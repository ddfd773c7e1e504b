//! Facts of quantities; the pairs follow from upstream's rules for canonical forms.

use super::*;

fn canonical(text: &str) -> String {
    Quantity::canonical(text).unwrap()
}

#[test]
fn quantities_are_written_in_their_canonical_form() {
    let pairs = [
        ("0", "0"),
        ("0Mi", "0"),
        ("0.0", "0"),
        ("1", "1"),
        ("100m", "100m"),
        ("0.1", "100m"),
        ("0.5", "500m"),
        ("1500m", "1500m"),
        ("1.5", "1500m"),
        ("2000m", "2"),
        ("1000", "1k"),
        ("1000000", "1M"),
        ("1024", "1024"),
        ("1Ki", "1Ki"),
        ("1024Ki", "1Mi"),
        ("1024Mi", "1Gi"),
        ("0.5Gi", "512Mi"),
        ("1.5Gi", "1536Mi"),
        ("0.5Ki", "512"),
        ("0.0001Ki", "102400u"),
        ("1e3", "1e3"),
        ("12e4", "120e3"),
        ("1E6", "1E6"),
        ("10E6", "10E6"),
        ("1000E6", "1e9"),
        ("1e-3", "1e-3"),
        ("1000k", "1M"),
        ("123456789", "123456789"),
        ("0.000000001", "1n"),
        ("0.0000000001", "1n"),
        ("1.0000000001", "1000000001n"),
        ("-5", "-5"),
        ("-0.5", "-500m"),
        (".5", "500m"),
        ("-", "0"),
        (".", "0"),
        ("Mi", "0"),
        ("9223372036854775807", "9223372036854775807"),
        ("10Ei", "9223372036854775807"),
        ("1T", "1T"),
        ("1P", "1P"),
        ("1E", "1E"),
    ];
    for (text, expected) in pairs {
        assert_eq!(canonical(text), expected, "{text}");
    }
}

#[test]
fn a_text_that_fits_its_unit_is_kept_as_written() {
    assert_eq!(canonical("1.234"), "1.234");
    assert_eq!(canonical("+5"), "+5");
    assert_eq!(canonical("03Mi"), "03Mi");
}

#[test]
fn malformed_quantities_are_refused_in_upstreams_words() {
    for text in ["", "1.1.1", "a", "1 ", " 1", "1Gi!"] {
        assert_eq!(Quantity::parse(text).unwrap_err(), QuantityError::Format, "{text}");
    }
    for text in ["1K", "1mi", "1ki", "1i", "1e", "1GiB", "1ee3", "--1"] {
        let error = Quantity::parse(text).unwrap_err();
        assert!(matches!(error, QuantityError::Suffix | QuantityError::Format), "{text}: {error}");
    }
    assert_eq!(Quantity::parse("1K").unwrap_err(), QuantityError::Suffix);
}

#[test]
fn amounts_compare_and_add_across_units() {
    let q = |t: &str| Quantity::parse(t).unwrap();
    assert_eq!(q("1000m"), q("1"));
    assert!(q("1Ki") > q("1k"));
    assert!(q("-1") < q("0"));
    assert!(q("1e40") > q("1n"));
    assert_eq!(q("100m").plus(&q("0.9")).to_string(), "1");
    assert_eq!(q("1Gi").plus(&q("512Mi")).to_string(), "1536Mi");
    assert_eq!(q("1Gi").minus(&q("1Gi")).to_string(), "0");
    assert_eq!(Quantity::zero().plus(&q("1Mi")).to_string(), "1Mi");
    assert_eq!(q("100m").times(15).to_string(), "1500m");
}

#[test]
fn whole_and_milli_values_round_up() {
    let q = |t: &str| Quantity::parse(t).unwrap();
    assert_eq!((q("1.1").value(), q("1.1").milli(), q("100m").value()), (2, 1100, 1));
    assert_eq!((q("1Gi").value(), q("1n").milli()), (1 << 30, 1));
    assert_eq!(q("1e30").value(), i64::MAX);
}
