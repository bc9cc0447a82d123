//! Whether a Topic Filter matches a topic, written apart from the broker's own crate.

/// [MQTT-4.7.1-2], [MQTT-4.7.1-3], [MQTT-4.7.2-1]
pub(crate) fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut levels = topic.split('/');
    for wanted in filter.split('/') {
        if wanted == "#" {
            return true;
        }
        match levels.next() {
            Some(level) if wanted == "+" || wanted == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

#[test]
fn filters_match_as_the_specification_says() {
    for (filter, topic, expected) in [
        ("a/b", "a/b", true),
        ("a/b", "a/c", false),
        ("a/b", "a", false),
        ("a", "a/b", false),
        ("a/#", "a", true),
        ("a/#", "a/b/c", true),
        ("#", "a/b", true),
        ("a/+", "a/b", true),
        ("a/+", "a", false),
        ("a/+", "a/", true),
        ("+/+", "/a", true),
        ("+", "/a", false),
        ("a/+/c", "a/b/c", true),
        ("#", "$SYS/a", false),
        ("+/a", "$SYS/a", false),
        ("$SYS/#", "$SYS/a", true),
    ] {
        assert_eq!(matches(filter, topic), expected, "{filter} {topic}");
    }
}
