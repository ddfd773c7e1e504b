//! Facts of times and durations.

use super::*;

#[test]
fn times_are_read_in_any_zone_and_written_in_utc() {
    let pairs = [
        ("2024-02-29T12:30:45Z", "2024-02-29T12:30:45Z"),
        ("2024-02-29T12:30:45+02:00", "2024-02-29T10:30:45Z"),
        ("1969-12-31T23:59:59.9Z", "1969-12-31T23:59:59Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59-00:30", "10000-01-01T00:29:59Z"),
    ];
    for (text, expected) in pairs {
        assert_eq!(Instant::parse(text).unwrap().to_text(), expected);
    }
    assert!(Instant::parse("0001-01-01T00:00:00Z").unwrap().is_zero());
    assert_eq!(Instant::parse("1970-01-02T00:00:01Z").unwrap(), Instant::from_seconds(86_401));
}

#[test]
fn every_day_of_four_centuries_survives_the_round_trip() {
    for day in -141_000..5_000 {
        let instant = Instant::from_seconds(day * 86_400 + 1);
        assert_eq!(Instant::parse(&instant.to_text()).unwrap(), instant);
    }
}

#[test]
fn micro_times_need_six_digits() {
    let instant = Instant::parse_micro("2024-01-01T00:00:00.123456Z").unwrap();
    assert_eq!(instant.to_micro_text(), "2024-01-01T00:00:00.123456Z");
    assert_eq!(Instant::from_micros(instant.micros()), instant);
    let error = Instant::parse_micro("2024-01-01T00:00:00Z").unwrap_err().to_string();
    let layout = "2006-01-02T15:04:05.000000Z07:00";
    assert_eq!(
        error,
        format!("parsing time \"2024-01-01T00:00:00Z\" as \"{layout}\": cannot parse \"Z\" as \".000000\"")
    );
}

#[test]
fn faults_read_as_in_go() {
    let error = Instant::parse("yesterday").unwrap_err().to_string();
    let layout = "2006-01-02T15:04:05Z07:00";
    assert_eq!(error, format!("parsing time \"yesterday\" as \"{layout}\": cannot parse \"yesterday\" as \"2006\""));
    let error = Instant::parse("2024-13-01T00:00:00Z").unwrap_err().to_string();
    assert_eq!(error, "parsing time \"2024-13-01T00:00:00Z\": month out of range");
    let error = Instant::parse("2023-02-29T00:00:00Z").unwrap_err().to_string();
    assert_eq!(error, "parsing time \"2023-02-29T00:00:00Z\": day out of range");
}

#[test]
fn durations_are_read_and_written_as_in_go() {
    let pairs = [
        ("15m", "15m0s"),
        ("1h", "1h0m0s"),
        ("1.5h", "1h30m0s"),
        ("90s", "1m30s"),
        ("1500ms", "1.5s"),
        ("-2us", "-2\u{b5}s"),
        ("0", "0s"),
        ("1h1ns", "1h0m0.000000001s"),
    ];
    for (text, expected) in pairs {
        assert_eq!(format_duration(parse_duration(text).unwrap()), expected);
    }
    for text in ["", "1", "1x", "h", "-"] {
        assert!(parse_duration(text).is_err(), "{text}");
    }
}
