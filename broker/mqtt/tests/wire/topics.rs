//! Topic Names, Topic Filters, how they match.

use flotilla_mqtt::topic::{
    Filter, FilterError, is_valid_filter, is_valid_name, levels, matches, parse_filter,
};

use crate::generator::Random;

/// The rules of section 4.7 over lists of levels, in five lines.
fn matches_by_definition(filter: &[&str], topic: &[&str]) -> bool {
    match (filter.split_first(), topic.split_first()) {
        (Some((&"#", _)), _) | (None, None) => true,
        (Some((&"+", filter)), Some((_, topic))) => matches_by_definition(filter, topic),
        (Some((a, filter)), Some((b, topic))) => a == b && matches_by_definition(filter, topic),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

#[test]
fn matching_is_as_defined() {
    let mut matched = 0;
    for seed in 0..200_000 {
        let mut random = Random::new(seed);
        let (filter, topic) = (random.filter(), random.topic());
        let starts_with_wildcard = filter.starts_with('#') || filter.starts_with('+');
        let expected = !(topic.starts_with('$') && starts_with_wildcard)
            && matches_by_definition(
                &filter.split('/').collect::<Vec<_>>(),
                &topic.split('/').collect::<Vec<_>>(),
            );
        assert_eq!(matches(&filter, &topic), expected, "{filter} on {topic}");
        matched += usize::from(expected);
    }
    assert!(matched > 10_000, "too few matches to mean anything: {matched}");
}

#[test]
#[rustfmt::skip]
fn the_examples_of_section_4_7_hold() {
    for (filter, topic, expected) in [
        ("sport/tennis/player1/#", "sport/tennis/player1", true),
        ("sport/tennis/player1/#", "sport/tennis/player1/ranking", true),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true),
        ("sport/#", "sport", true),
        ("#", "sport", true),
        ("#", "/", true),
        ("sport/tennis/+", "sport/tennis/player1", true),
        ("sport/tennis/+", "sport/tennis/player1/ranking", false),
        ("sport/+", "sport", false),
        ("sport/+", "sport/", true),
        ("+/+", "/finance", true),
        ("/+", "/finance", true),
        ("+", "/finance", false),
        ("+/tennis/#", "sport/tennis", true),
        ("#", "$SYS/monitor/Clients", false),
        ("+/monitor/Clients", "$SYS/monitor/Clients", false),
        ("$SYS/#", "$SYS/monitor/Clients", true),
        ("$SYS/monitor/+", "$SYS/monitor/Clients", true),
        ("$SYS/#", "$SYS", true),
        ("ACCOUNTS", "Accounts", false),
        ("é/b", "é/b", true),
        ("é/b", "e/b", false),
        ("a", "a/", false),
        ("a/", "a", false),
        ("a//b", "a/b", false),
        ("a/+/b", "a//b", true),
        ("a/$x", "a/$x", true),
        ("+/$x", "a/$x", true),
        ("a/#", "a/$x", true),
    ] {
        assert_eq!(matches(filter, topic), expected, "{filter} on {topic}");
    }
}

#[test]
fn names_are_valid_by_mqtt_4_7() {
    let longest = "x".repeat(65_535);
    let too_long = "x".repeat(65_536);
    for topic in ["a", "/", "a/b", " ", "é", "$SYS/a", "a//b", "\u{FEFF}", &longest] {
        assert!(is_valid_name(topic), "{topic}");
    }
    for topic in ["", "+", "#", "a/+", "a/#", "a+b", "a#", "\0", "a\0b", &too_long] {
        assert!(!is_valid_name(topic), "{topic}");
    }
}

#[test]
fn filters_are_taken_apart_by_mqtt_4_8_2() {
    let longest = "x".repeat(65_535);
    for plain in ["a", "/", "#", "+", "+/#", "a/#", "//", "$share", "$share+x", "$SYS/#", &longest]
    {
        let parsed = parse_filter(plain);
        let expected = if plain == "$share+x" {
            Err(FilterError::WildcardBesideOthers)
        } else {
            Ok(Filter::Plain(plain))
        };
        assert_eq!(parsed, expected, "{plain}");
        assert_eq!(is_valid_filter(plain), expected.is_ok());
    }
    for (shared, share_name, filter) in [
        ("$share/g/a", "g", "a"),
        ("$share/g/#", "g", "#"),
        ("$share/g//", "g", "/"),
        ("$share/ /a/b", " ", "a/b"),
        ("$share/é/$share/x", "é", "$share/x"),
    ] {
        assert_eq!(parse_filter(shared), Ok(Filter::Shared { share_name, filter }), "{shared}");
        assert_eq!(parse_filter(shared).unwrap().filter(), filter);
    }
    let too_long = "x".repeat(65_536);
    let shared_too_long = format!("$share/g/{longest}");
    for (filter, error) in [
        ("", FilterError::Empty),
        (&too_long, FilterError::TooLong),
        (&shared_too_long, FilterError::TooLong),
        ("a\0", FilterError::NulCharacter),
        ("a/#/b", FilterError::MultiLevelNotLast),
        ("#/", FilterError::MultiLevelNotLast),
        ("a#", FilterError::WildcardBesideOthers),
        ("+a/b", FilterError::WildcardBesideOthers),
        ("$share//a", FilterError::ShareNameEmpty),
        ("$share/", FilterError::ShareWithoutFilter),
        ("$share/g", FilterError::ShareWithoutFilter),
        ("$share/g/", FilterError::ShareWithoutFilter),
        ("$share/+/a", FilterError::ShareNameInvalid),
        ("$share/a#/a", FilterError::ShareNameInvalid),
        ("$share/g/a#", FilterError::WildcardBesideOthers),
    ] {
        assert_eq!(parse_filter(filter), Err(error), "{filter}");
    }
}

#[test]
fn levels_may_be_empty() {
    assert!(levels("a//b").eq(["a", "", "b"]));
    assert!(levels("/").eq(["", ""]));
    assert!(levels("a").eq(["a"]));
}

#[test]
fn a_wrong_filter_is_explained() {
    let error = parse_filter("a/#/b").unwrap_err();
    assert_eq!(error.to_string(), "\"#\" must be the last level of a Topic Filter");
}
