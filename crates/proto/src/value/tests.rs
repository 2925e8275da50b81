use super::*;

#[test]
fn numbers_are_equal_when_they_are_the_same_number() {
    assert_eq!(Value::from(2.0), Value::from(2));
    assert_eq!(Value::from(-0.0), Value::from(0));
    assert_eq!(
        Value::from(9_223_372_036_854_775_808.0),
        Value::from(1_u64 << 63)
    );
    assert_ne!(Value::from(0.5), Value::from(0));
    // A browser would say that these two are one.
    assert_ne!(
        Value::from(9_007_199_254_740_992.0),
        Value::from((1_i64 << 53) + 1)
    );
    assert_ne!(Value::from(f64::NAN), Value::from(f64::NAN));
}

#[test]
fn a_repeated_member_is_the_last_one() {
    let members = vec![("a".to_owned(), 1.into()), ("a".to_owned(), 2.into())];
    assert_eq!(Value::Map(members).get("a"), Some(&Value::Integer(2)));
}

#[test]
fn json_and_back_is_the_same() {
    let json = serde_json::json!({"a": [1, -2, 0.5, 18_446_744_073_709_551_615_u64, null, true], "b": "c"});
    let value = Value::from(json.clone());
    assert_eq!(serde_json::Value::try_from(value), Ok(json));
    let octets = Value::from(vec![Value::from(b"x")]);
    assert_eq!(serde_json::Value::try_from(octets), Err(ValueError::Bytes));
}

#[test]
fn a_date_is_written_as_javascript_does() {
    for (millis, text) in [
        (1_706_749_261_001, "2024-02-01T01:01:01.001Z"),
        (0, "1970-01-01T00:00:00.000Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (951_782_400_000, "2000-02-29T00:00:00.000Z"),
        (-62_167_219_200_000, "0000-01-01T00:00:00.000Z"),
        (-62_167_219_200_001, "-000001-12-31T23:59:59.999Z"),
        (8_640_000_000_000_000, "+275760-09-13T00:00:00.000Z"),
        (-8_640_000_000_000_000, "-271821-04-20T00:00:00.000Z"),
    ] {
        assert_eq!(Date::from_millis(millis).to_string(), text);
        assert_eq!(Date::from_millis(millis).as_millis(), Some(millis));
        assert_eq!(text.parse(), Ok(Date::from_millis(millis)));
    }
    let fine = Date::new(0, 1).map(|date| date.to_string());
    assert_eq!(fine.as_deref(), Some("1970-01-01T00:00:00.000000001Z"));
    assert_eq!(Date::new(0, 1_000_000_000), None);
    // No moment overflows.
    for seconds in [i64::MIN, i64::MAX] {
        let date = Date::new(seconds, 999_999_999).unwrap();
        assert_eq!(date.to_string().parse(), Ok(date));
    }
}

#[test]
fn a_text_that_is_no_moment_is_refused() {
    for text in [
        "",
        "Z",
        "2024-02-01",
        "2024-02-01T01:01:01.001",
        "2024-02-30T00:00:00Z",
        "2023-02-29T00:00:00Z",
        "2024-13-01T00:00:00Z",
        "2024-00-01T00:00:00Z",
        "2024-02-01T24:00:00Z",
        "2024-02-01T00:60:00Z",
        "2024-02-01T00:00:00.Z",
        "2024-02-01T00:00:00.0000000001Z",
        "2024-02-01 00:00:00Z",
        "24-02-01T00:00:00Z",
        "+2024-02-01T00:00:00Z",
        "+99999999999999999-01-01T00:00:00Z",
        "+292277026597-01-01T00:00:00Z",
        "2024-02-\u{e9}1T00:00:00Z",
        "2024-02-01T00:00:+1Z",
    ] {
        assert!(text.parse::<Date>().is_err(), "{text}");
    }
    let short = "2024-02-01T01:01:01.5Z".parse::<Date>();
    assert_eq!(short.map(Date::nanos), Ok(500_000_000));
}

#[test]
fn numbers_keep_their_last_bit_through_json() {
    for number in [3.189_191_174_920_384_2e-220, -1.411_951_938_644_051_5e-29] {
        let json: serde_json::Value = serde_json::from_str(&format!("{number:e}")).unwrap();
        assert_eq!(Value::from(json).as_f64(), Some(number));
    }
}
